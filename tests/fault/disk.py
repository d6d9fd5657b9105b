#!/usr/bin/python3
"""The disk fails, shortens or kills at the n-th call that changes the journal's files, for n = 1, 2, ... until a run passes
untouched. After each run somebody who knows only what was told looks: nothing that was kept may be lost, nothing that was
settled may come back, no row may differ from its hash, and the next start finds nothing wrong. `--whole` does it with
every kind of fault; without it each kind is done at a step that still reaches every place where calls differ in kind."""
import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))
import journal  # noqa: E402

SHIM, DRIVER = sys.argv[1], sys.argv[2]
WHOLE = "--whole" in sys.argv
FAIL, SHORT, KILL_BEFORE, KILL_TORN = 1, 2, 3, 4
ALWAYS = (1 << 63) - 1
# name, what, errno, how many calls in a row
KINDS = [("one call fails with EIO", FAIL, errno.EIO, 1),
         ("five calls fail with EIO", FAIL, errno.EIO, 5),
         ("the disk is full for three calls", FAIL, errno.ENOSPC, 3),
         ("it is read-only for four calls", FAIL, errno.EROFS, 4),
         ("a write is short, the next one fails", SHORT, errno.ENOSPC, 2),
         ("killed before the call", KILL_BEFORE, 0, 1),
         ("killed in the middle of a write", KILL_TORN, 0, 1)]


class Control:
    """As struct control of disk_shim.c."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def set(self, at=0, until=0, what=0, error=0):
        self.map[:48] = struct.pack("6Q", 0, at, until, what, error, 0)

    def plan(self, at, until, what, error):
        """Leaves the count."""
        self.map[16:40] = struct.pack("3Q", until, what, error)
        self.map[8:16] = struct.pack("Q", at)

    def calls(self):
        return struct.unpack("Q", self.map[:8])[0]

    def hits(self):
        return struct.unpack("Q", self.map[40:48])[0]


def environment(control, part="journal.db"):
    return {**os.environ, "LD_PRELOAD": SHIM, "ERAB_FAULT_CONTROL": control.path, "ERAB_FAULT_PATH": part}


def told(text):
    said = {}
    for line in text.split("\n"):
        word, _, number = line.partition(" ")
        if number:
            said.setdefault(word, set()).add(int(number))
    return said


def look(path, said, where):
    """What stands there, read by another program than the one that wrote it."""
    with journal.open_journal(path) as db:
        there = {row[0][0] for row in db.execute("select id from message")}
        waiting = {row[0][0] for row in db.execute("select m.id from outbox o join message m on m.row = o.message")}
        journal._sums(db)  # every row against its hash
        assert db.execute("pragma integrity_check").fetchone() == ("ok",), where
    lost = said.get("kept", set()) - there
    again = said.get("settled", set()) & waiting
    assert not lost, f"{where}: kept and lost: {lost}"
    assert not again, f"{where}: settled and there again: {again}"
    return there


def one_run(folder, control, n, kind):
    name, what, error, times = kind
    path = os.path.join(folder, "journal.db")
    where = f"{name}, at call {n}"
    for f in os.listdir(folder):
        os.unlink(os.path.join(folder, f))
    control.set(n, n + times - 1, what, error)
    done = subprocess.run([DRIVER, path, "work"], env=environment(control), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)
    said = told(done.stdout)
    hit = control.hits() > 0
    killed = what in (KILL_BEFORE, KILL_TORN)
    if hit and killed:
        assert done.returncode == -9, (where, done)
    else:
        # A disk that is bad at the start is told, and nothing was taken. Later it goes on without a restart.
        assert done.returncode == 0 or (done.returncode == 5 and not said), (where, done)
        assert "stuck" not in said, where
    again = subprocess.run([DRIVER, path, "read"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert again.returncode == 0, (where, again)
    now = told(again.stdout)
    assert not said.get("kept", set()) - now.get("mark", set()), (where, said, now)
    assert not said.get("settled", set()) & now.get("pending", set()), (where, said, now)
    look(path, said, where)
    if not killed and done.returncode == 0 and hit:
        assert len(said["kept"]) >= 8, (where, said)  # one fault does not cost them all
    return hit


def every_call(kind, step):
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the calls are real, the waiting is not needed
    folder = tempfile.mkdtemp(prefix="erab-disk-", dir=memory)
    aside = tempfile.mkdtemp(prefix="erab-disk-", dir=memory)
    control = Control(os.path.join(aside, "control"))
    n, runs = 1, 0
    while one_run(folder, control, n, kind):
        n += step
        runs += 1
    shutil.rmtree(folder)
    shutil.rmtree(aside)
    assert runs > 10, (kind, runs)
    print(f"ok      {kind[0]}: {runs} runs, {n} calls", flush=True)


if __name__ == "__main__":
    for i, kind in enumerate(KINDS):
        every_call(kind, 1 if WHOLE else 3)
