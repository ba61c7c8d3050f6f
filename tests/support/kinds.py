"""What can lie in the place of a file or folder without being one."""

import os
import socket


def link(path, outside):
    """A symbolic link to a file of another program."""
    (outside / "file").write_text("theirs")
    path.symlink_to(outside / "file")


def link_to_folder(path, outside):
    (outside / "folder").mkdir()
    (outside / "folder" / "file").write_text("theirs")
    path.symlink_to(outside / "folder")


def dangling(path, outside):
    path.symlink_to(outside / "none")


def pipe(path, outside):
    os.mkfifo(path)


def bound_socket(path, outside):
    folder = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has 107 bytes at most
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(folder)


LINKS = (link, link_to_folder, dangling)
SPECIAL = (pipe, bound_socket)


def content(folder):
    """Every file under a folder with its bytes, and every other entry."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }
