"""Line coverage from gcov's data, merged over all programs of a build. argv: source folder, build folder, the least
percentage, then folders (relative to the source) whose lines count. Exit code 1 when a folder is below."""
import collections
import json
import os
import subprocess
import sys

source, build, least, *folders = sys.argv[1:]
hits = {folder: collections.defaultdict(dict) for folder in folders}
data = [os.path.join(at, name) for at, _, names in os.walk(build) for name in names if name.endswith(".gcda")]
for path in data:
    told = subprocess.run(["gcov", "--json-format", "--stdout", path], cwd=build, check=True, capture_output=True).stdout
    for line in told.splitlines():
        for file in json.loads(line)["files"]:
            name = os.path.relpath(os.path.join(build, file["file"]), source)
            for folder in folders:
                if name.startswith(folder + os.sep):
                    lines = hits[folder][name]
                    for row in file["lines"]:
                        lines[row["line_number"]] = lines.get(row["line_number"], 0) + row["count"]

low = False
for folder, files in hits.items():
    for name, lines in sorted(files.items()):
        missed = [str(number) for number, count in sorted(lines.items()) if not count]
        print(f"{name:40}{100 * (1 - len(missed) / len(lines)):6.1f} %  {' '.join(missed)}")
    every = [count for lines in files.values() for count in lines.values()]
    share = 100 * sum(count > 0 for count in every) / len(every) if every else 0
    print(f"{folder}: {share:.1f} % of {len(every)} lines")
    low = low or share < float(least)
sys.exit(low)
