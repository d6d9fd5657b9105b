"""`erab plugin check` finds the fault of each bad module, tells in which check, and always comes to an end. argv: the
tool, the folder of the modules."""
import json
import os
import subprocess
import sys

ERAB, FOLDER = sys.argv[1], sys.argv[2]

# module: the check that finds it, a part of what it says
FAULTS = {
    "wrong_major": ("file", "was built for ABI 1.0"),
    "newer_minor": ("file", "was built for ABI 0.99"),
    "no_note": ("file", "no ABI note"),
    "wrong_size": ("tables", "16 bytes"),
    "lying_note": ("tables", "says ABI 7.3"),
    "null_table": ("tables", "gives no table"),
    "null_lists": ("tables", "neither an adapter nor a policy"),
    "null_functions": ("tables", "it has no deliver"),
    "bad_options": ("tables", "must be from 1 to 10"),
    "many_stages": ("described", "asks for more than INGRESS"),
    "init_fails": ("init-then-fini", "init failed: no licence"),
    "init_crashes": ("init-then-fini", ""),  # by a signal, or as a sanitizer ends it
    "init_hangs": ("init-then-fini", "did not come to an end"),
    "exits": ("receipt", "ended the process"),
    "never_quiet": ("start-stop", "did not call quiesced()"),
    "completes_twice": ("broken-bodies", "completed a call twice"),
    "completes_unknown": ("broken-bodies", "completed a call that it was never given"),
    "odd_states": ("broken-bodies", "a state other than APPLIED or REFUSED"),
    "foreign_party": ("broken-bodies", "published for birch"),
    "floods_log": ("start-stop", "a log line of more than one line"),
    "forks": ("broken-bodies", "started a process"),
}


def main():
    bad = 0
    for name, (check, said) in FAULTS.items():
        done = subprocess.run([ERAB, "plugin", "check", os.path.join(FOLDER, f"bad_{name}.so"), "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        checks = json.loads(done.stdout.splitlines()[-1])["checks"]
        failed = [c for c in checks if c["result"] == "FAIL"]
        if done.returncode != 1 or not any(c["check"] == check and said in c["detail"] for c in failed):
            bad += 1
            print(f"{name}: not found by {check}: exit code {done.returncode}, {failed}")
    print(f"{len(FAULTS) - bad} of {len(FAULTS)} faults found")
    return 1 if bad else 0


sys.exit(main())
