"""What a module's check says in bytes that are no text is a refusal all the same. argv: erab-runner, erab, the module."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

RUNNER, ERAB, MODULE = sys.argv[1:]
folder = tempfile.mkdtemp(prefix="erab-garbles-")
module, key, document = (os.path.join(folder, name) for name in ("m.so", "k", "d"))
shutil.copy(MODULE, module)
public = json.loads(subprocess.run([ERAB, "key", "new", "signer", key, "--json"], stdout=subprocess.PIPE, check=True).stdout)
subprocess.run([ERAB, "plugin", "sign", module, key], stdout=subprocess.DEVNULL, check=True)
with open(document, "w", encoding="utf-8") as f:
    json.dump({"module": module, "kind": "adapter", "name": "bad", "options": {}, "signers": [public["sign_public"]]}, f)
fd = os.open(document, os.O_RDONLY)
done = subprocess.run([RUNNER, "--options-fd", str(fd)], pass_fds=[fd], stdout=subprocess.PIPE, timeout=60, check=False)
shutil.rmtree(folder)
lines = [json.loads(line) for line in done.stdout.splitlines()]
if done.returncode or [line["text"] for line in lines] != ["nobody may have this"]:
    print(f"exit code {done.returncode}, {lines}")
    sys.exit(1)
