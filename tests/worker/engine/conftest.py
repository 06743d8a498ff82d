import pytest
import torch

from model_core.model import Model
from tests.worker.engine.judge import make_model


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_dis() -> Model:
    return make_model("dis")


@pytest.fixture(scope="session")
def model_transposed() -> Model:
    return make_model("dis", head="transposed")


@pytest.fixture(scope="session")
def model_memory() -> Model:
    """It sees three frames and hands a hidden state on."""
    return make_model("dis-fast", window=3, hidden=4)


@pytest.fixture(scope="session")
def model_fnet() -> Model:
    return make_model("fnet")
