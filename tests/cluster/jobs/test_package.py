"""What a job takes along and what it never does."""

import subprocess
import zipfile
from pathlib import Path, PurePath

import pytest

from dalr.cluster.jobs import credentials
from dalr.cluster.jobs.package import MIB, collect, mib
from dalr.errors import InputError


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def sent(folder: Path, limit: int = MIB) -> list[str]:
    return [entry.path for entry in collect(folder, limit=limit).entries]


def test_ignore_files_decide_as_git_does(tmp_path):
    """Compared with git itself, on nested files, negation and folder patterns."""
    names = [
        "a.py",
        "a.log",
        "keep.log",
        "sub/b.log",
        "sub/c.tmp",
        "sub/deep/d.tmp",
        "build/x",
        "sub/build/y",
        "docs/z",
    ]
    fill(tmp_path, dict.fromkeys(names, "text"))
    fill(tmp_path, {".gitignore": "*.log\n!keep.log\n/build/\n*.tmp\n", "sub/.gitignore": "!b.log\ndeep/\n"})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sent(tmp_path) == sorted(listed)
    assert "sub/b.log" in listed
    assert "sub/c.tmp" not in listed


def test_rayignore_leaves_out_more_and_never_less(tmp_path):
    fill(tmp_path, {"a": "", "b": "", "c": "", ".gitignore": "b\n", ".rayignore": "c\n!b\n"})
    assert sent(tmp_path) == [".gitignore", ".rayignore", "a"]


def test_caches_and_environments_stay_behind(tmp_path):
    fill(tmp_path, {"a": "", ".git/config": "", ".venv/x": "", "pkg/__pycache__/a.pyc": "", "pkg/m.py": ""})
    assert sent(tmp_path) == ["a", "pkg/m.py"]


@pytest.mark.parametrize(
    "name",
    ".env .env.local prod.env server.pem id_rsa id_rsa.pub id_ed25519 .netrc credentials.json credentials-gcp.json "
    "aws_credentials.csv hf_token token.txt my-token.json API_TOKEN auth_tokens.json service-account-x.json "
    "secrets.yaml kubeconfig .npmrc ca.KEY".split(),
)
def test_credentials_are_known_by_name(name, tmp_path):
    assert credentials.in_name(PurePath("x") / name)
    fill(tmp_path, {"a.py": "", f"deep/{name}": "x"})
    package = collect(tmp_path, limit=MIB)
    assert [entry.path for entry in package.entries] == ["a.py"]
    (left_out,) = package.left_out
    assert left_out.path == f"deep/{name}"
    assert left_out.reason.startswith("credentials (")


@pytest.mark.parametrize(
    "name",
    "tokens.py token_states.py tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json "
    "credentials.py environment.yml keys.py secrets.md monkey.txt tokenization.txt".split(),
)
def test_ordinary_names_are_no_credentials(name):
    assert credentials.in_name(PurePath(name)) is None


def test_credential_folders_stay_behind_whole(tmp_path):
    fill(tmp_path, {"a": "", ".ssh/known_hosts": "", ".aws/config": "", "sub/.kube/cache": ""})
    package = collect(tmp_path, limit=MIB)
    assert [entry.path for entry in package.entries] == ["a"]
    assert [item.path for item in package.left_out] == [".aws", ".ssh", "sub/.kube"]


def test_credentials_are_named_even_where_they_are_ignored(tmp_path):
    fill(tmp_path, {".env": "A=1", ".gitignore": ".env\n"})
    assert [item.path for item in collect(tmp_path, limit=MIB).left_out] == [".env"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "a private key"),
        ("key = AKIA" + "ABCDEFGHIJKLMNOP", "an AWS access key"),
        ("login('hf_" + "a" * 34 + "')", "a Hugging Face token"),
        ("url = https://ghp_" + "b" * 36 + "@host", "a GitHub token"),
    ],
)
def test_credentials_are_known_by_content(text, kind, tmp_path):
    fill(tmp_path, {"a.py": "x = 1", "settings.py": text})
    package = collect(tmp_path, limit=MIB)
    assert [entry.path for entry in package.entries] == ["a.py"]
    assert [(item.path, item.reason) for item in package.left_out] == [("settings.py", f"contains {kind}")]


@pytest.mark.parametrize(
    ("storage", "taken"),
    [
        ("postgresql://me:hunter2@db/sweeps", False),
        ("postgresql+psycopg://me:h%40ter@db:5432/sweeps", False),
        ("mysql+pymysql://db/sweeps?user=me&password=hunter2", False),
        ("redis://:hunter2@cache:6379/0", False),
        ("postgresql://me@db/sweeps", True),
        ("postgresql://me:${PGPASSWORD}@db/sweeps", True),
        ("postgresql://me:***@db/sweeps", True),
        ("sqlite:////nfs/a:b@c/study.db", True),
    ],
)
def test_the_password_of_a_sweeps_database_stays_behind(storage: str, taken: bool, tmp_path: Path) -> None:
    """Earlier versions kept it in sweep.yaml."""
    fill(tmp_path, {"sweeps/a/sweep.yaml": f"recipe: dalr\nstorage: {storage}\n", "a.py": f"# such as {storage}"})
    package = collect(tmp_path, limit=MIB)
    assert ("sweeps/a/sweep.yaml" in [entry.path for entry in package.entries]) is taken
    assert "a.py" in [entry.path for entry in package.entries]
    reasons = [item.reason for item in package.left_out]
    assert reasons == ([] if taken else ["contains a password in a database's URL"])


def test_links_do_not_lead_out_or_to_credentials(tmp_path):
    outside = fill(tmp_path / "outside", {"secret.txt": "x", "data/big": "x"})
    folder = fill(tmp_path / "work", {"a": "text", ".env": "A=1"})
    (folder / "out").symlink_to(outside / "secret.txt")
    (folder / "data").symlink_to(outside / "data")
    (folder / "plain").symlink_to(folder / ".env")
    (folder / "broken").symlink_to(folder / "nothing")
    (folder / "inside").symlink_to(folder / "a")
    package = collect(folder, limit=MIB)
    assert [entry.path for entry in package.entries] == ["a", "inside"]
    assert {item.path: item.reason for item in package.left_out} == {
        ".env": "credentials (.env*)",
        "broken": "a link to nothing",
        "data": "a link to a folder that holds it or lies elsewhere",
        "out": "a link out of the folder",
        "plain": "a link to credentials (.env*)",
    }


def test_what_two_names_lead_to_is_listed_once(tmp_path: Path) -> None:
    """dalr's own packages lie beside it, and are linked from inside: a job needs both names, a reader one."""
    fill(tmp_path, {"dalr/a.py": "x", "sweeps/big.py": "y" * 900, "sweeps/.env": "A=1", "sweeps/x.pem": "z"})
    (tmp_path / "dalr" / "sweeps").symlink_to("../sweeps")
    package = collect(tmp_path, limit=MIB)
    assert [entry.path for entry in package.entries] == ["dalr/a.py", "dalr/sweeps/big.py", "sweeps/big.py"]
    assert [entry.path for entry in package.largest()] == ["dalr/sweeps/big.py", "dalr/a.py"]
    assert [item.path for item in package.left_out] == ["sweeps/.env", "sweeps/x.pem"]


def test_too_large_a_folder_is_refused_with_its_largest_files(tmp_path):
    fill(tmp_path, {"big.bin": "x" * 3000, "small.py": "x" * 10})
    with pytest.raises(InputError, match=r"3 KiB in 2 files .* more than the limit of 1 KiB; largest: big\.bin 3 KiB"):
        collect(tmp_path, limit=1024)
    fill(tmp_path, {".rayignore": "*.bin\n"})
    assert sent(tmp_path, limit=1024) == [".rayignore", "small.py"]


def test_no_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        collect(tmp_path / "none", limit=MIB)


def test_the_zip_depends_on_paths_and_contents_alone(tmp_path):
    files = {"b/c.py": "1", "a.txt": "2"}
    first = collect(fill(tmp_path / "one", files), limit=MIB)
    (tmp_path / "one" / "a.txt").touch()
    second = collect(fill(tmp_path / "two", dict(reversed(files.items()))), limit=MIB)
    first.write(tmp_path / "1.zip")
    second.write(tmp_path / "2.zip")
    assert first.digest() == second.digest()
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"2", "b/c.py": b"1"}


@pytest.mark.parametrize("change", [{"a.txt": "3"}, {"d.txt": ""}])
def test_any_change_changes_the_digest(change, tmp_path):
    before = collect(fill(tmp_path, {"a.txt": "2"}), limit=MIB)
    assert collect(fill(tmp_path, change), limit=MIB).digest() != before.digest()


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path):
    package = collect(fill(tmp_path / "work", {"a": "1"}), limit=MIB)
    fill(tmp_path / "work", {"a": "2"})
    with pytest.raises(InputError, match="changed while"):
        package.write(tmp_path / "x.zip")


def test_the_largest_come_first(tmp_path):
    package = collect(fill(tmp_path, {f"f{n}": "x" * n for n in range(9)}), limit=MIB)
    assert [entry.path for entry in package.largest(3)] == ["f8", "f7", "f6"]
    assert package.size == sum(range(9))
    assert mib(200) == "0 KiB"
    assert mib(5 * MIB) == "5.0 MiB"
