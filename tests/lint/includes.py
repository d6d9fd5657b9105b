"""#include only points left in the list of layers; what stands outside of the broker sees less."""
import os
import re
import sys

import common

LAYERS = ["base", "wire", "sdk", "loop", "transport", "config", "identity", "journal", "audit", "policy",
          "breaker", "evidence", "route", "host", "cluster", "admin", "pipeline", "broker", "main"]
# Folders beside the broker and the layers that they may see besides the public headers.
OUTSIDE = {"adapters": {"base"}, "plugins": {"base"}, "examples": set(), "runner": {"base", "wire", "sdk"},
           "cli": set(LAYERS) - {"main"}}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


# Files that stand in broker/ itself: the layers to the right of the folders.
TOP = {"pipeline": "pipeline", "outlets": "pipeline", "record": "pipeline", "passage": "pipeline", "receipts": "pipeline",
       "followup": "pipeline", "takers": "pipeline", "snapshot": "pipeline", "swap": "pipeline", "breakers": "pipeline",
       "passage_votes": "pipeline", "main": "main"}


def top_layer(name):
    return TOP.get(re.split(r"[._]", name)[0], "broker")


def layer_of_file(path):
    """('layer', name), ('outside', folder) or None for what this lint does not judge."""
    parts = path.split(os.sep)
    if parts[:2] == ["sdk", "include"]:
        return ("public", "sdk")
    if parts[:2] == ["sdk", "src"]:
        return ("layer", parts[2] if len(parts) > 3 and parts[2] in ("base", "wire") else "sdk")
    if parts[:2] == ["sdk", "testkit"]:
        return ("layer", "sdk")
    if parts[0] == "broker":
        if len(parts) > 2:
            return ("layer", parts[1])
        return ("layer", top_layer(parts[1]))
    if parts[0] in OUTSIDE:
        return ("outside", parts[0])
    return None


def layer_of_include(root, path, name):
    """The layer that an included private header belongs to; '' for one of the same folder."""
    first = name.split("/")[0]
    if "/" in name and first in LAYERS:
        return first
    if "/" not in name and os.path.exists(os.path.join(root, "broker", name)):
        return top_layer(name)
    if os.path.exists(os.path.join(root, os.path.dirname(path), name)):
        return ""
    if os.path.exists(os.path.join(root, "plugins", name)):
        if path.split(os.sep)[0] == "plugins":
            return ""
        return "broker"  # the rules that are linked in: only what puts the broker together knows them
    return "sdk" if any(os.path.exists(os.path.join(root, "sdk", *place, name)) for place in (["src"], [])) else None


def judge(root, path, kind, where, quoted, name):
    if name.startswith("erab/"):
        return None if not quoted else f"public header {name} is included with quotes"
    if not quoted:
        if name.split("/")[0] in LAYERS and "/" in name:
            return f"private header {name} is included with angle brackets"
        return None
    if kind == "public":
        return f"a public header includes the private {name}"
    if ".." in name.split("/"):
        return f"{name} climbs out of its folder"
    layer = layer_of_include(root, path, name)
    if layer == "":
        return None
    if layer is None:
        own = name.split("/")[0] + "/"
        inside = os.path.exists(os.path.join(root, path.split(os.sep)[0], name))
        return None if kind == "outside" and inside else f"{name} ({own}) is of no known layer"
    if kind == "outside":
        return None if layer in OUTSIDE[where] else f"{where}/ may not include {name} of layer {layer}"
    if LAYERS.index(layer) > LAYERS.index(where):
        return f"layer {where} includes {name} of {layer}, which is further right"
    return None


def check(root):
    complaints = []
    for path in common.walk(root, (".c", ".h")):
        place = layer_of_file(path)
        if not place:
            continue
        if place[0] == "layer" and place[1] not in LAYERS:
            complaints.append(f"{path}: broker/{place[1]} is not in the list of layers")
            continue
        text = common.read(root, path)
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            said = judge(root, path, place[0], place[1], match.group(1) == '"', match.group(2))
            if said:
                complaints.append(f"{path}:{line}: {said}")
    return complaints


SAMPLES = [
    ("left", {"broker/route/a.c": '#include "journal/j.h"\n#include <erab/x.h>\n', "broker/journal/j.h": ""}, None),
    ("right", {"broker/journal/a.c": '#include "route/r.h"\n', "broker/route/r.h": ""}, "further right"),
    ("main is rightmost", {"broker/main.h": "", "broker/main.c": '#include "broker.h"\n', "broker/broker.h": ""}, None),
    ("pipeline", {"broker/route/a.c": '#include "pipeline.h"\n', "broker/pipeline.h": ""}, "further right"),
    ("sdk does not see the broker", {"sdk/src/client.c": '#include "loop/loop.h"\n'}, "further right"),
    ("base does not see wire", {"sdk/src/base/a.c": '#include "wire/wire.h"\n'}, "further right"),
    ("pipeline does not see the broker", {"broker/pipeline.c": '#include "broker.h"\n', "broker/broker.h": ""},
     "further right"),
    ("record is of the pipeline", {"broker/pipeline.c": '#include "record.h"\n', "broker/record.h": ""}, None),
    ("plugins from the broker", {"broker/broker.c": '#include "plugins.h"\n', "plugins/plugins.h": ""}, None),
    ("plugins among themselves", {"plugins/r1/a.c": '#include "plugins.h"\n', "plugins/plugins.h": ""}, None),
    ("plugins from a layer", {"broker/route/a.c": '#include "plugins.h"\n', "plugins/plugins.h": ""}, "further right"),
    ("unknown layer", {"broker/misc/a.c": ""}, "not in the list"),
    ("quotes", {"broker/loop/a.c": '#include "erab/types.h"\n'}, "with quotes"),
    ("brackets", {"broker/route/a.c": "#include <journal/j.h>\n"}, "angle brackets"),
    ("public", {"sdk/include/erab/a.h": '#include "base/cursor.h"\n'}, "public header includes"),
    ("adapter", {"adapters/x/a.c": '#include "route/r.h"\n'}, "may not include"),
    ("adapter may see base", {"adapters/x/a.c": '#include "base/cursor.h"\n#include "b.h"\n', "adapters/x/b.h": ""}, None),
    ("example", {"examples/e/a.c": '#include "base/cursor.h"\n'}, "may not include"),
    ("the test kit is of the SDK", {"cli/a.c": '#include "testkit/t.h"\n', "sdk/testkit/t.h": ""}, None),
    ("the test kit sees no broker", {"sdk/testkit/a.c": '#include "loop/l.h"\n'}, "further right"),
    ("climbing", {"broker/loop/a.c": '#include "../route/r.h"\n'}, "climbs"),
]

if __name__ == "__main__":
    sys.exit(common.main(check, SAMPLES))
