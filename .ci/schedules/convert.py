#!/usr/bin/env python3
"""Copies the sources of a library and replaces std by its simulation. Usage: convert.py SRC BUILD

Lines keep their numbers, so the location of a panic is the same in SRC.
"""
import os
import re
import shutil
import sys

# The modules of std that sim.rs has.
SIMULATED = ("sync", "thread", "net", "time", "os")
# Limits that small scenarios have to reach: name, value in the sources, value here.
LIMITS = [
    ("MESSAGES", r"1_?024", "3"),
    ("GATHER", r"128", "2"),
]


def closing(text, start):
    """Returns the place of the bracket that closes the one at `start`."""
    pairs = {"[": "]", "{": "}", "(": ")"}
    opened, depth = text[start], 0
    for i in range(start, len(text)):
        depth += (text[i] == opened) - (text[i] == pairs[opened])
        if depth == 0:
            return i
    sys.exit("convert.py: an unclosed bracket: " + text[start : start + 40])


def only_lines(text):
    return "\n" * text.count("\n")


def without_inner_attributes(text):
    while True:
        found = re.search(r"^[ \t]*#!\[", text, re.M)
        if not found:
            return text
        end = closing(text, found.end() - 1) + 1
        text = text[: found.start()] + only_lines(text[found.start() : end]) + text[end:]


def parts(group):
    """Splits a group at its commas, except those in inner braces."""
    part, depth = "", 0
    for c in group:
        depth += (c == "{") - (c == "}")
        if c == "," and depth == 0:
            yield part
            part = ""
        else:
            part += c
    yield part


def with_groups_split(text):
    """Splits each group of imports into those of std and those of the simulation.

    The result is a group again, so visibility and attributes of the `use` apply to both, and it may stand within another
    group. Paths begin with `crate::`, so they are valid in every module.

    >>> with_groups_split("#[cfg(unix)] pub(crate) use std::{io, sync::{Arc, Mutex}};")
    '#[cfg(unix)] pub(crate) use {std::{io}, crate::sim::{sync::{Arc, Mutex}}};'
    >>> with_groups_split("use {super::Slot, std::{fmt, thread}};")
    'use {super::Slot, {std::{fmt}, crate::sim::{thread}}};'
    """
    at = 0
    while True:
        found = re.compile(r"(?<![\w:])(?:::)?(std|core)::\{").search(text, at)
        if not found:
            return text
        end = closing(text, found.end() - 1)
        group = re.sub(r"//.*", "", text[found.end() : end])
        all_parts = [" ".join(part.split()) for part in parts(group) if part.strip()]
        ours = [part for part in all_parts if re.match(r"\w*", part).group() in SIMULATED]
        rest = [part for part in all_parts if part not in ours]
        groups = ["%s::{%s}" % (found.group(1), ", ".join(rest))] if rest else []
        groups += ["crate::sim::{%s}" % ", ".join(ours)] if ours else []
        new = "{%s}" % ", ".join(groups) + only_lines(text[found.start() : end])
        text = text[: found.start()] + new + text[end + 1 :]
        at = found.start() + len(new)


def convert(text):
    """Converts one file.

    >>> convert("use std::time::Duration; mod a { use ::std::net::{IpAddr, TcpStream}; use crate::net::dial; }")
    'use crate::sim::time::Duration; mod a { use crate::sim::net::{IpAddr, TcpStream}; use crate::net::dial; }'
    """
    text = re.sub(r"^[ \t]*//[/!].*$", "", text, flags=re.M)
    text = without_inner_attributes(text)
    text = re.sub(r"#\[doc\s*=\s*include_str!\([^)]*\)\s*\]", "", text)
    text = with_groups_split(text)
    text = re.sub(r"(?<![\w:])(?:::)?(?:std|core)::(%s)\b" % "|".join(SIMULATED), r"crate::sim::\1", text)
    text = re.sub(r"(?<![\w:])(?:std::)?thread_local!", "shuttle::thread_local!", text)
    return text


def main(src, build):
    if not os.path.isfile(os.path.join(src, "lib.rs")):
        sys.exit("convert.py: there is no lib.rs in " + src)
    target = os.path.join(build, "src")
    shutil.rmtree(target, ignore_errors=True)
    seen = set()
    for folder, folders, files in os.walk(src):
        top = os.path.relpath(folder, src) == "."
        if top:
            folders[:] = [f for f in folders if f not in ("command", "bin")]
        for name in sorted(files):
            if not name.endswith(".rs") or (top and name == "main.rs"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = convert(file.read())
            for limit, value, small in LIMITS:
                pattern = r"(\bconst %s: usize = )%s;" % (limit, value)
                text, count = re.subn(pattern, r"\g<1>%s;" % small, text)
                seen.update([limit] if count else [])
            if top and name == "lib.rs":
                text = "#![allow(warnings)] " + text + "\npub mod sim;\n"
            path = os.path.join(target, os.path.relpath(os.path.join(folder, name), src))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    for limit, value, _ in LIMITS:
        if limit not in seen:
            # The scenarios would still hold, but check less.
            sys.exit("convert.py: there is no `const %s: usize = %s;` in %s" % (limit, value.replace("_?", ""), src))
    here = os.path.dirname(os.path.abspath(__file__))
    shutil.copy(os.path.join(here, "sim.rs"), target)
    for name in ("scenarios.rs", "Cargo.toml", "Cargo.lock"):
        shutil.copy(os.path.join(here, name), build)


if __name__ == "__main__":
    main(*sys.argv[1:3])
