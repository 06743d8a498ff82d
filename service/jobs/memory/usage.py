"""What owners used, in memory: service/jobs/quotas.py tells what each method does."""

from service.jobs.memory.state import MemoryState
from service.jobs.quotas import Amounts, Drawn, Quota


class MemoryUsage(MemoryState):
    def admit(self, owner: str, quota: Quota, asked: Amounts, *, unless_key: str | None = None) -> None:
        with self._lock:
            if unless_key in self._ids_by_key:
                return
            jobs = [entry.job for entry in self._entries.values() if entry.job.owner == owner]
            open_jobs = sum(not job.state.is_terminal and job.purpose != "sample" for job in jobs)
            self._ledger.admit(owner, quota, asked, open_jobs=open_jobs)

    def take_in(self, upload_id: str, owner: str, quota: Quota, bytes_in: int) -> None:
        with self._lock:
            if upload_id in self._ledger.counted:
                return
            self.admit(owner, quota, {"bytes_per_day": bytes_in})
            self._ledger.count(upload_id, owner, {"bytes_per_day": bytes_in})

    def charge(self, job_id: str, megapixels: float) -> None:
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or entry.job.owner is None or entry.is_charged:
                return
            self.admit(entry.job.owner, entry.quota, {"megapixels_per_day": megapixels})
            self._ledger.count(f"{job_id} planned", entry.job.owner, {"megapixels_per_day": megapixels})
            entry.is_charged = True

    def draw_requests(self, owner: str, limit: int, count: int) -> Drawn:
        with self._lock:
            return self._ledger.draw(owner, limit, count)
