"""In a sandbox, whatever the attempts of a project write anywhere is counted, and not there for those that follow."""

from __future__ import annotations

import json

from shut import Shut

WAIT = """
import time
def gone(path):
    until = time.monotonic() + 20
    while os.path.lexists(path) and time.monotonic() < until:
        time.sleep(0.01)
    return not os.path.lexists(path)
"""


def test_what_is_written_beside_the_folders_is_removed(shut: Shut) -> None:
    result = shut(f"""{WAIT}
Path("../9999").write_text("x")
Path("own").write_text("x")
os.makedirs("leak/below")
Path("leak/below/file").write_text("x")
os.chmod("leak/below", 0)
# Made elsewhere, since it may be gone in a moment.
os.rename("leak", "../leak")
result = [gone("../leak"), gone("../9999"), os.listdir(), os.listdir("../zygote")]
""")
    assert result == [True, True, ["own"], []]


def test_what_is_written_into_the_folder_of_another_is_not_found_there(shut: Shut) -> None:
    result = shut(f"""{WAIT}
from shut_in import execute
where = "result = [os.getcwd(), os.listdir()]"
[other, _] = execute(code=where)
result = []
Path(other, "leak").write_text("x")
result.append(execute(code=where)[1])
[other, _] = execute(code=where)
Path(other, "leak").write_text("x")
result.append(gone(other))
""")
    assert result == [[], True]


def test_what_is_written_beside_the_folders_counts(shut: Shut) -> None:
    process = shut.start("""
import time
for name in ("first", "second"):
    with open("../zygote/" + name, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 300 * 1024 * 1024)
time.sleep(30)
""")
    out, _ = process.communicate()
    error = json.loads(out)["error"]
    assert (error["code"], error["type"]) == ("scratch_full", "ScratchFull")
    assert error["message"].startswith("beside the folders of attempts: used 6")
