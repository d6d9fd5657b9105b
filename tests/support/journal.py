"""A broker's journal, changed as the broker itself would: rows with their hashes, the head of all of them, and the head's
file. The broker must be down."""
import contextlib
import hashlib
import os
import sqlite3

HEAD = 512
OWN = 16
TABLES = {"message": (0, "row,id,hash,header,body,signature,sender,type,state,reason,expires,ends,cancelled"),
          "outbox": (1, "row,message,recipient,expires"), "member": (2, "message,party,state,reason"),
          "revocation": (3, "party,at"), "state": (4, "key,value")}


def row_hash(table, seq, *columns):
    h = hashlib.blake2b(b"erab.v1.journal-row\0", digest_size=OWN)
    for c in (table, seq, *columns):
        if isinstance(c, int):
            h.update(b"\1" + (c & (1 << 64) - 1).to_bytes(8, "big"))
        else:
            data = c.encode() if isinstance(c, str) else c
            h.update((b"\3" if isinstance(c, str) else b"\4") + len(data).to_bytes(8, "big") + data)
    return h.digest()


def open_journal(path):
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def _sums(db):
    out = b""
    for table, (number, columns) in TABLES.items():
        rows = db.execute(f"select seq, sum, {columns} from {table}").fetchall()
        for seq, was, *values in rows:
            assert was == row_hash(number, seq, *values), (table, values[0])
        out += len(rows).to_bytes(8, "big")
        for half in (0, 8):
            out += (sum(int.from_bytes(r[1][half:half + 8], "big") for r in rows) & (1 << 64) - 1).to_bytes(8, "big")
    return out


def set_state(path, key, value):
    """One state row, as a commit of its own."""
    with open_journal(path) as db:
        (head,) = db.execute("select value from head").fetchone()
        assert hashlib.blake2b(head[:-OWN], digest_size=OWN).digest() == head[-OWN:]
        at = 21 + 16 + 64 + 4
        number = lambda n: int.from_bytes(head[at + 8 * n:at + 8 * n + 8], "big")  # noqa: E731
        generation, seq, accepted = number(0) + 1, number(1) + 1, number(2)
        db.execute("begin")
        db.execute("insert or replace into state values (?,?,?,?)", (key, value, seq, row_hash(4, seq, key, value)))
        rest = b"".join(n.to_bytes(8, "big") for n in (generation, seq, accepted)) + _sums(db)
        head = (head[:at] + rest).ljust(HEAD - OWN, b"\0")
        head += hashlib.blake2b(head, digest_size=OWN).digest()
        db.execute("update head set value = ?", (head,))
        db.execute("commit")
    with open(path + ".head", "r+b") as f:
        for place in (0, 4096):
            f.seek(place)
            f.write(head)


def state(path, key):
    with open_journal(path) as db:
        row = db.execute("select value from state where key = ?", (key,)).fetchone()
    return row and row[0]


def copy_of(folder, to):
    """Takes the files of a journal somewhere else; the copy's path."""
    import shutil
    for name in ("journal.db", "journal.db-wal", "journal.db.head"):
        if os.path.exists(os.path.join(folder, name)):
            shutil.copy(os.path.join(folder, name), to)
        elif os.path.exists(os.path.join(to, name)):
            os.unlink(os.path.join(to, name))
    return os.path.join(to, "journal.db")
