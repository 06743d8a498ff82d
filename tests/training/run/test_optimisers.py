"""Muon: what its updates look like, and that it learns."""

import torch
from torch import nn

from training.run.optimisers import make_optimisers, orthogonal, set_rate


def test_orthogonal_brings_all_singular_values_near_one_and_keeps_their_directions() -> None:
    torch.manual_seed(0)
    for shape in ((2, 8, 40), (1, 40, 8), (3, 8, 8)):
        matrices = torch.randn(shape) * torch.tensor([1e-4, 1, 1e3])[: shape[0], None, None]
        found = orthogonal(matrices)
        assert found.shape == matrices.shape
        values = torch.linalg.svdvals(found)
        assert values.max() < 1.3
        if shape[1] != shape[2]:  # of a square random matrix the smallest may be next to nothing
            assert values.min() > 0.6
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        apart = left.mT @ found @ right.mT
        off_diagonal = apart - torch.diag_embed(apart.diagonal(dim1=1, dim2=2))
        assert off_diagonal.abs().max() < 1e-2


def test_an_update_of_a_kernel_has_the_rate_as_its_root_mean_square() -> None:
    torch.manual_seed(0)
    for channels in ((4, 30), (60, 3), (48, 48)):
        layer = nn.Conv2d(channels[1], channels[0], 3)
        optimisers = make_optimisers(layer, "muon")
        set_rate(optimisers, 0.01)
        before = layer.weight.detach().clone()
        layer.weight.grad = torch.randn_like(layer.weight) * 1e-5
        optimisers["muon"].step()
        moved = (layer.weight.detach() - before).square().mean().sqrt()
        assert 0.006 < moved < 0.013


def test_kernels_go_to_muon_and_biases_to_adam_at_twice_the_rate() -> None:
    layer = nn.Conv2d(3, 4, 3)
    optimisers = make_optimisers(layer, "muon")
    set_rate(optimisers, 0.01)
    owners = {name: each.param_groups[0] for name, each in optimisers.items()}
    assert [id(each) for each in owners["muon"]["params"]] == [id(layer.weight)]
    assert [id(each) for each in owners["adam"]["params"]] == [id(layer.bias)]
    assert (owners["muon"]["lr"], owners["adam"]["lr"]) == (0.01, 0.02)


def test_muon_learns_a_blur() -> None:
    torch.manual_seed(0)
    truth, learner = nn.Conv2d(3, 3, 5, padding=2), nn.Conv2d(3, 3, 5, padding=2)
    optimisers = make_optimisers(learner, "muon")
    losses = []
    for step in range(150):
        set_rate(optimisers, 0.02 * (1 - step / 150))
        picture = torch.randn(4, 3, 12, 12)
        loss = (learner(picture) - truth(picture).detach()).square().mean()
        learner.zero_grad()
        loss.backward()
        for optimiser in optimisers.values():
            optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]
