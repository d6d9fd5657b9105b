"""Adds up a meson testlog.json: prints "PASSED FAILED SKIPPED". Exit code 1 when there is no log to read."""
import json
import sys

GOOD = {"OK", "EXPECTEDFAIL"}


def count(lines):
    passed = failed = skipped = 0
    for line in lines:
        if not line.strip():
            continue
        result = json.loads(line)["result"]
        if result in GOOD:
            passed += 1
        elif result == "SKIP":
            skipped += 1
        else:
            failed += 1
    return passed, failed, skipped


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as log:
            print(*count(log))
    except (OSError, ValueError, KeyError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
