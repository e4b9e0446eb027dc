"""Unpacks every archive of a folder with tarfile: unpack.py ARCHIVES TARGETS FILTER. Prints the names of those that fail."""

import os
import sys
import tarfile

archives, targets, chosen = sys.argv[1:]
# Before the filters there was only what "fully_trusted" does now.
options = {"filter": chosen} if hasattr(tarfile, "data_filter") else {}
for name in sorted(os.listdir(archives)):
    try:
        with tarfile.open(os.path.join(archives, name)) as archive:
            archive.extractall(os.path.join(targets, name), **options)
    except Exception as error:
        print(name)
        print(f"{name}: {error!r}", file=sys.stderr)
