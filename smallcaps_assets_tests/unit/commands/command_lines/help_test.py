"""What the command line says of itself, and of words that it does not know."""

import re

import pytest

from smallcaps_assets.cli import main

COMMANDS = (
    "demo",
    "check",
    "doctor",
    "ui",
    "exchange",
    "detect",
    "manifest",
    "research",
    "plan",
    "verify",
    "audit",
    "review",
    "labels",
    "cohorts",
    "coverage",
    "listings",
    "import",
    "status",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert f"example:\n  smallcaps {command} " in printed
    assert "Needs:" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_help_is_a_command_that_can_be_parsed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex  # noqa: PLC0415

    from smallcaps_assets.cli import build_parser  # noqa: PLC0415

    with pytest.raises(SystemExit):
        main([command, "--help"])
    (example,) = re.findall(r"^  smallcaps (.*)$", capsys.readouterr().out, re.MULTILINE)
    assert build_parser().parse_args(shlex.split(example)).command == command


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["manifest", "--master", "m.parquet", "--profile", "gold"],
        ["detect", "--bars"],
        ["detect", "--bars", "b.parquet", "--lake", "lake"],
        ["ui", "--port", "65536"],
        ["exchange", "--port", "-1"],
        ["exchange", "--denied", "quote"],
        ["status", "--profile", "gold"],
        ["status", "--symbol", "4"],
        ["demo", "--symbols", "three"],
        ["demo", "--symbols", "-1"],
    ],
)
def test_a_wrong_command_line_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("usage: smallcaps")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ui", "--prot", "3001"], "smallcaps ui: error: unknown flag --prot: did you mean --port?"),
        (["ui", "--prot=3001"], "smallcaps ui: error: unknown flag --prot: did you mean --port?"),
        (
            ["import", "bars", "--nonsense", "x"],
            "unknown flag --nonsense. `smallcaps import bars --help` lists what there is.",
        ),
        (["chekc"], ": did you mean check?"),
        (["status", "--profile", "premum"], ": did you mean premium?"),
        (["fly"], ". `smallcaps --help` lists what there is."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_word_is_answered_with_what_was_meant(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--symbols", "-1"], "argument --symbols: '-1' is not a whole number above 0"),
        (["status", "--symbols", "0"], "argument --symbols: '0' is not a whole number above 0"),
        (["status", "--sessions", "0"], "argument --sessions: '0' is not a whole number above 0"),
        (["status", "--seed", "-1"], "argument --seed: '-1' is not a whole number, 0 or more"),
        (["status", "--watch", "soon"], "argument --watch: 'soon' is not a whole number above 0"),
        (["exchange", "--truth", "--seed", "x"], "argument --seed: 'x' is not a whole number, 0 or more"),
        (["exchange", "--truth", "--symbols", "0"], "argument --symbols: '0' is not a whole number above 0"),
        (["audit", "--sample", "0"], "argument --sample: '0' is not a whole number above 0"),
        (["ui", "--port", "65536"], "argument --port: '65536' is not a port, 0 to 65535"),
        (["ui", "--prot", "3000"], "unknown flag --prot: did you mean --port?"),
        (["statsu"], "did you mean status?"),
        (["status", "--profile", "cor"], "did you mean core?"),
        (["import", "bar", "x"], "did you mean bars?"),
        (["import", "bars", "x", "--price-scale", "2"], "'2' is not a number above 0 and up to 1, such as 1e-4"),
        (["detect", "--columns", "open"], "'open' is not OURS=THEIRS,... such as timestamp=t,open=o"),
        (["detect", "--columns", "opn=o"], "'opn=o': bars have no column opn, only symbol, timestamp, open"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named_with_its_flag_and_bounds(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
