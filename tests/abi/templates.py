"""The templates as a vendor builds them: out of the tree, against the installed SDK, with its pkg-config file; then
checked and signed with the tool. argv: build folder, source folder."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

BUILD, SOURCE = sys.argv[1], sys.argv[2]


def run(*words, env=None, cwd=None, good=True):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=cwd,
                          check=False)
    if good and done.returncode:
        print("$", *words, "\n", done.stdout)
        sys.exit(1)
    return done


def install(folder):
    """The project in `folder` as if it were the root; the environment of somebody who uses it from there."""
    stage = os.path.join(folder, "root")
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": stage})
    pc, library, tool, profile = None, None, None, None
    for at, _, names in os.walk(stage):
        profile = at if "erab-1.2-draft.yaml" in names else profile
        pc = at if "erab.pc" in names else pc
        library = at if "liberab.so" in names else library
        tool = os.path.join(at, "erab") if "erab" in names and at.endswith("bin") else tool
    if not (profile and profile.endswith("share/erab")):
        print("no profile is installed, so no broker could be started with what is")
        sys.exit(1)
    # The SDK is staged, the libraries that it names are the system's: only its own paths get the stage in front.
    own = os.path.join(folder, "pc")
    os.makedirs(own)
    for name in ("erab.pc", "erab-testkit.pc"):
        with open(os.path.join(pc, name), encoding="utf-8") as f:
            text = f.read()
        with open(os.path.join(own, name), "w", encoding="utf-8") as f:
            f.write(text.replace("prefix=/", f"prefix={stage}/", 1))
    env = {**os.environ, "PKG_CONFIG_PATH": own, "LD_LIBRARY_PATH": library}
    return tool, env


def sanitizers():
    """Of this build: a program that links a library with them needs them, too."""
    options = json.loads(run("meson", "introspect", "--buildoptions", BUILD).stdout)
    return next(o["value"] for o in options if o["name"] == "b_sanitize")


def check(tool, env, module):
    done = run(tool, "plugin", "check", module, "--json", env=env, good=False)
    answer = json.loads(done.stdout.splitlines()[-1])
    bad = [c for c in answer["checks"] if c["result"] != "PASS"]
    if done.returncode or bad:
        print(module, *bad, sep="\n")
        sys.exit(1)
    return answer["passed"]


def main():
    folder = tempfile.mkdtemp(prefix="erab-templates-")
    tool, env = install(folder)
    out = os.path.join(folder, "out")
    os.makedirs(out)
    for name in ("adapter_template", "policy_template"):
        shutil.copytree(os.path.join(SOURCE, "examples", name), os.path.join(folder, name))
    adapter = os.path.join(folder, "adapter_template")
    run("meson", "setup", "build", f"--prefix={out}", f"-Db_sanitize={sanitizers()}", "-Db_lundef=false", env=env, cwd=adapter)
    run("meson", "install", "-C", "build", "--quiet", env=env, cwd=adapter)
    run("meson", "test", "-C", "build", env=env, cwd=adapter)
    run("make", f"OUT={out}", env=env, cwd=os.path.join(folder, "policy_template"))
    key = os.path.join(folder, "vendor.key")
    run(tool, "key", "new", "vendor", key, env=env)
    for name in ("template.so", "hours.so"):
        module = os.path.join(out, name)
        assert check(tool, env, module) >= 5
        run(tool, "plugin", "sign", module, key, env=env)
        assert os.path.exists(module + ".sig")
    # The check can fail: the same adapter without its end of life is found out.
    with open(os.path.join(adapter, "adapter.c"), encoding="utf-8") as f:
        text = f.read()
    spoilt = text.replace("    t->host->quiesced(t->self);\n", "", 1)
    assert spoilt != text
    with open(os.path.join(adapter, "adapter.c"), "w", encoding="utf-8") as f:
        f.write(spoilt)
    run("meson", "install", "-C", "build", "--quiet", env=env, cwd=adapter)
    done = run(tool, "plugin", "check", os.path.join(out, "template.so"), env=env, good=False)
    assert done.returncode == 1 and "did not call quiesced()" in done.stdout, done.stdout
    shutil.rmtree(folder)


main()
