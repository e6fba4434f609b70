"""The rules of ARCHITECTURE.md that a program can check."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 500

# layer(file) may include the layers named here, and itself. "postgres", "format", "sink" and the single files beside them are
# the middle: they never include each other.
MODEL = {"base", "model"}
MIDDLE = {"postgres", "format", "sink", "router", "ack_tracker", "status_timer"}
HTTP = {"http_server", "http_responder", "metrics_text", "process_usage", "snapshots_json", "snapshot_summary", "http_jobs",
        "http_client"}
OPTIONS = {"postgres/options.h", "sink/kafka_options.h", "sink/kafka_properties.h", "http_options.h", "pipeline_options.h", "progress_options.h",
           "state_options.h"}
SESSION = MODEL | MIDDLE | {"dispatcher", "shutdown_watch", "progress_gate", "snapshot", "snapshot_mailbox", "incremental"}
PIPELINE = SESSION | {"session", "pipeline"}
COMMANDS = PIPELINE | HTTP | {"retry_policy", "supervisor", "config", "make_sink"}
MAY_INCLUDE = {
    "base": set(),
    "model": {"base"},
    **{layer: MODEL for layer in MIDDLE},
    "ack_tracker": MODEL,
    **{layer: MODEL | HTTP | {"snapshot_mailbox"} for layer in HTTP},
    "http_jobs": MODEL | {"format", "snapshot_mailbox"},
    "snapshot_report": {"base", "snapshot_summary"},
    "shutdown_watch": MODEL,
    "dispatcher": MODEL | MIDDLE,
    "snapshot": MODEL | MIDDLE | {"snapshot_report"},
    "snapshot_mailbox": MODEL,
    "incremental": MODEL | MIDDLE | {"snapshot", "snapshot_mailbox"},
    "session": SESSION,
    "progress_gate": MODEL,
    "start_decision": MODEL | {"postgres"},
    "state_store": MODEL | {"sink", "config"},
    "start_slot": MODEL | {"postgres", "start_decision", "state_store"},
    "start_jobs": MODEL | {"postgres"},
    "start_snapshot": MODEL | {"postgres", "start_slot", "config"},
    "pipeline": PIPELINE,
    "make_sink": MODEL | {"sink", "config"},
    "retry_policy": {"base"},
    "supervisor": PIPELINE | {"config", "make_sink", "retry_policy", "start_decision", "start_slot",
                              "start_snapshot", "start_jobs", "state_store"},
    "config": MODEL,
    "commands": COMMANDS,
    "snapshot_command": MODEL | HTTP | {"config"},
    "cli": COMMANDS | {"commands"},
    "main": COMMANDS | {"commands", "snapshot_command", "cli"},
}

# Each library has one home.
HOMES = {
    r"toml\+\+/|toml\.hpp": r"src/config\w*\.(cc|h)",
    r"CLI/": r"src/cli\.(cc|h)",
    r"libpq-fe\.h|libpq/": r"src/postgres/.*",
    r"librdkafka/": r"src/sink/kafka_.*",
    r"httplib\.h": r"src/http_(server|responder|client)\.(cc|h)",
    r"prometheus/": r"src/(metrics_text|http_server)\.(cc|h)",
    r"nlohmann/": r"src/(model/state_record\.cc|model/snapshot_job_json\.(cc|h)|snapshots_json\.cc)",
    r"spdlog/": r"src/base/log\.(cc|h)",
}


def repository_files():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                            capture_output=True).stdout.decode()
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


FILES = repository_files()
SOURCES = [name for name in FILES if re.match(r"(src|tests|fuzz|bench)/.*\.(h|cc)$", name)]
PRODUCT = [name for name in SOURCES if name.startswith("src/") and not name.endswith("_test.cc")]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def includes(name):
    return re.findall(r'^\s*#\s*include\s*["<]([^">]+)[">]', text(name), re.M)


def layer(path):
    """A file's layer: its folder, or its own name if it stands directly in src/. Files of one noun share a prefix."""
    first, _, rest = path.partition("/")
    if rest:
        return first
    stem = first.rsplit(".", 1)[0]
    known = sorted(MAY_INCLUDE, key=len, reverse=True)
    return next((name for name in known if stem == name or stem.startswith(f"{name}_")), stem)


def test_includes_point_one_way():
    wrong = []
    for name in PRODUCT:
        own = layer(name.removeprefix("src/"))
        if name.removeprefix("src/") in OPTIONS:
            own = "model"  # options structs are plain values
        if own not in MAY_INCLUDE:
            wrong.append(f"{name}: a new layer: give it its row in MAY_INCLUDE")
            continue
        for included in includes(name):
            if not (ROOT / "src" / included).is_file() or included in OPTIONS:
                continue
            if layer(included) not in MAY_INCLUDE[own] | {own}:
                wrong.append(f"{name} includes {included}: {own} may not know {layer(included)}")
    assert not wrong, "\n".join(wrong)


def test_base_and_the_middle_do_not_know_the_options_of_others():
    wrong = []
    for name in PRODUCT:
        own = layer(name.removeprefix("src/"))
        for included in set(includes(name)) & OPTIONS:
            if own in MODEL or (own in MIDDLE and layer(included) != own):
                wrong.append(f"{name} includes {included}")
    assert not wrong, "\n".join(wrong)


def test_includes_are_paths_from_src():
    folders = ("src", "tests", "fuzz", "bench")
    wrong = [f"{name}: \"{included}\"" for name in SOURCES
             for included in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text(name), re.M)
             if not any((ROOT / folder / included).is_file() for folder in folders)
             and not (ROOT / included).is_file()]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", HOMES)
def test_library_has_one_home(library):
    wrong = [f"{name} includes {included}" for name in PRODUCT for included in includes(name)
             if re.match(library, included) and not re.fullmatch(HOMES[library], name)]
    assert not wrong, "\n".join(wrong)


def test_sources_are_listed_in_cmake():
    lists = "".join(text(name) for name in ("CMakeLists.txt", "tests/unit.cmake", "fuzz/fuzz.cmake", "bench/micro/micro.cmake") if name in FILES)
    listed = set(re.findall(r"[\w./-]+\.cc", lists.replace("${target}", "{target}")))
    fuzz_targets = {f"fuzz/{target}_fuzz.cc" for line in re.findall(r"foreach\(target ([^)]*)\)", lists) for target in line.split()}
    sources = {name for name in SOURCES if name.endswith(".cc")}
    assert sources - listed - fuzz_targets == set(), "not listed in CMake"
    assert {name for name in listed if name.startswith(("src/", "tests/", "fuzz/"))} - sources == set(), "listed, not there"


def test_headers_are_guarded_by_pragma_once():
    assert [name for name in SOURCES if name.endswith(".h") and "#pragma once" not in text(name)] == []


def test_sources_are_ascii_and_short():
    wrong = [f"{name}: not ASCII" for name in SOURCES if not (ROOT / name).read_bytes().isascii()]
    wrong += [f"{name}: {len(text(name).splitlines())} lines" for name in SOURCES if len(text(name).splitlines()) >= LINES_MAX]
    assert not wrong, "\n".join(wrong)


def test_each_folder_has_its_row_in_architecture_md():
    folders = {name.rsplit("/", 1)[0] for name in FILES if name.startswith("src/")} | {name.split("/")[0] for name in FILES if "/" in name}
    hidden = {folder for folder in folders if folder.startswith(".")}
    architecture = text("ARCHITECTURE.md")
    missing = [folder for folder in sorted(folders - hidden) if f"`{folder}/`" not in architecture]
    assert not missing, f"no row `FOLDER/` in ARCHITECTURE.md for {missing}"


def test_work_to_be_done_names_its_issue():
    mark = "TO" + "DO"
    wrong = [f"{name}:{number}: {line.strip()}" for name in FILES if not is_binary(name)
             for number, line in enumerate(text(name).splitlines(), 1)
             if re.search(rf"\b({mark}|FIX" + r"ME|X{3})\b", line) and not re.search(mark + r"\(#\d+\)", line)]
    assert not wrong, "\n".join(wrong)


def test_nothing_needs_a_file_outside_the_clone():
    """The pattern is put together so that this file does not match itself."""
    machine_path = re.compile(r"(?<![\w.\-}$])/(?:" + "|".join(["wo" + "rk", "ro" + "ot"]) + r")/|\.\./sha" + r"red\b|(?<![\w/.])sha" + r"red/\w")
    wrong = [f"{name}:{number}: {line.strip()[:120]}" for name in FILES if not is_binary(name)
             for number, line in enumerate(text(name).splitlines(), 1) if machine_path.search(line)]
    assert not wrong, "\n".join(wrong)


def test_links_of_the_documents_lead_somewhere():
    wrong = []
    for name in (name for name in FILES if name.endswith(".md")):
        prose = re.sub(r"^```.*?^```", "", text(name), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / name).parent / path if path else ROOT / name
            if not file.exists():
                wrong.append(f"{name}: {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                wrong.append(f"{name}: {target}: no such heading")
    assert not wrong, "\n".join(wrong)


def anchors(file):
    """The anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*?)\s*$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_binary(name):
    try:
        text(name)
        return False
    except UnicodeDecodeError:
        return True
