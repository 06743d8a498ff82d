"""Try again while the store or the storage is away, so that a restart of either costs no finished work."""

from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from service.errors import TransientError

WAIT_S: Final = 60.0  # a restart takes less; beyond it the sweeper hands the step out again

patiently: Final = Retrying(
    retry=retry_if_exception_type(TransientError),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    stop=stop_after_delay(WAIT_S),
    reraise=True,
)
