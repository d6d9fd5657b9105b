"""Within one ABI major, what the frozen headers say still holds: every member where it was, every number the same.
New members and codes may only be added at the end. argv: the program of the frozen headers, that of today's."""
import subprocess
import sys


def lines(program):
    return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def moved(then, now):
    """Complaints; a new major owes nothing to the old one."""
    if then[0] != now[0]:
        return []
    here = set(now)
    return [f"no longer so: {line}" for line in then if line not in here]


def main():
    if moved(["number abi_major 0", "at a.b 4 8"], ["number abi_major 0", "at a.b 8 8"]) == []:
        print("this comparison cannot fail")
        return 1
    bad = moved(lines(sys.argv[1]), lines(sys.argv[2]))
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
