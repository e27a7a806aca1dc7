"""Imports every module of the packages that are given, and the further modules given after `--`.

    python imports.py kubefugu_trainer -- cma celery.bin.worker

Run when an image is built: it shows that what the image runs can be imported, and leaves compiled code of exactly that.
"""

import importlib
import pkgutil
import sys

packages, _, others = " ".join(sys.argv[1:]).partition("--")
names = others.split()
for package in packages.split():
    found = importlib.import_module(package)
    names += [module.name for module in pkgutil.walk_packages(found.__path__, f"{package}.") if "__main__" not in module.name]
for name in names:
    importlib.import_module(name)
print(f"{len(names)} modules")
