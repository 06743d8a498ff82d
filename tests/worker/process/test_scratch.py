import signal
import subprocess
import sys
from pathlib import Path

from worker.process.scratch import own_folder

HOLDER = """
import sys, time
from pathlib import Path
from worker.process.scratch import own_folder
with own_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half written")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_its_folder_only_until_the_next_one_starts(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        other = Path(holder.stdout.readline().strip())
        with own_folder(tmp_path) as mine:
            assert other.exists()
            assert mine != other
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert other.exists()
    with own_folder(tmp_path) as mine:
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert list(tmp_path.iterdir()) == []
