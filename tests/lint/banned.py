"""Calls that no product code makes: unbounded copies and shells; and the one place that knows SQLite. sdk/src/base holds what replaces them; tests
may copy bytes as they like."""
import os
import re
import sys

import common

CALLS = re.compile(r"(?<![\w.>])(memcpy|strcpy|stpcpy|strcat|sprintf|vsprintf|gets|system|popen)\s*\(")
PLACES = ("sdk", "broker", "runner", "cli", "adapters", "plugins", "examples")


def check(root):
    complaints = []
    for path in common.walk(root, (".c", ".h")):
        parts = path.split(os.sep)
        if parts[0] not in PLACES or parts[:3] == ["sdk", "src", "base"]:
            continue
        text = common.strip_c(common.read(root, path))
        if parts[0] == "broker" and not parts[-1].startswith("store_sqlite") and "sqlite" in text.lower():
            complaints.append(f"{path}: only broker/journal/store_sqlite*.c know SQLite; see journal/store.h")
        for match in CALLS.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            complaints.append(f"{path}:{line}: {match.group(1)}() is not used here; see sdk/src/base/cursor.h")
    return complaints


SAMPLES = [
    ("memcpy", {"broker/route/a.c": "void f(void)\n{\n    memcpy(a, b, 4);\n}\n"}, "a.c:3: memcpy()"),
    ("sprintf", {"cli/a.c": "int f(void) { return sprintf (b, 1); }"}, "sprintf()"),
    ("system", {"runner/a.c": 'int f(void) { return system("x"); }'}, "system()"),
    ("strcpy in a header", {"sdk/src/x.h": "strcpy(a, b);"}, "strcpy()"),
    ("snprintf and comments", {"broker/a.c": '/* memcpy( */ snprintf(b, 1, "strcpy(");\n// gets(\n'}, None),
    ("SQLite elsewhere", {"broker/a.c": "#include <sqlite3.h>\n"}, "only broker/journal/store_sqlite"),
    ("SQLite where it belongs", {"broker/journal/store_sqlite_x.c": "#include <sqlite3.h>\n"}, None),
    ("a member or longer name", {"broker/a.c": "x.system(1); y->gets(2); file_system(3);"}, None),
    ("base and tests", {"sdk/src/base/a.c": "memcpy(a, b, 4);", "tests/unit/a.c": "memcpy(a, b, 4);"}, None),
]

if __name__ == "__main__":
    sys.exit(common.main(check, SAMPLES))
