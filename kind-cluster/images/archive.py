#!/usr/bin/env python3
"""A one-layer container image from a folder, in the form that `docker load`, `ctr images import`
and `kind load image-archive` take. It needs no daemon and no base image, and the same folder
always gives the same bytes: owners, times and the order of files are fixed."""

import argparse
import hashlib
import io
import json
import tarfile


def layer_of(folder):
    def normalise(entry):
        entry.mtime = entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, arcname=".", filter=normalise)  # tarfile walks folders in sorted order
    return buffer.getvalue()


def image_config(layer, options):
    config = {
        "Entrypoint": json.loads(options.entrypoint),
        "Cmd": json.loads(options.command),
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "User": options.user,
        "WorkingDir": options.workdir,
    }
    return json.dumps({
        "architecture": options.architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "images/archive.py"}],
    }).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", help="the file to write")
    parser.add_argument("name", help="NAME:TAG")
    parser.add_argument("folder", help="the image's root")
    parser.add_argument("--entrypoint", default="[]", help="a JSON list")
    parser.add_argument("--command", default="[]", help="a JSON list; arguments replace it")
    parser.add_argument("--user", default="")
    parser.add_argument("--workdir", default="/")
    parser.add_argument("--architecture", default="amd64")
    options = parser.parse_args()

    layer = layer_of(options.folder)
    config = image_config(layer, options)
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": config_name, "RepoTags": [options.name], "Layers": ["layer.tar"]}]
    with tarfile.open(options.archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in (
            ("manifest.json", json.dumps(manifest).encode()),
            (config_name, config),
            ("layer.tar", layer),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main()
