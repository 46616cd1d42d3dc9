"""An empty value is no path and no address: `--lake ''` would be the working folder, `--host ''` every network."""

from pathlib import Path

import pytest

from smallcaps_assets.cli import main


@pytest.mark.parametrize(
    ("command", "subject"),
    [
        ("status --lake", "--lake ''"),
        ("demo --lake", "--lake ''"),
        ("detect --config", "--config ''"),
        ("detect --bars", "--bars ''"),
        ("exchange --host", "--host ''"),
        ("ui --host", "--host ''"),
        ("exchange --faults", "--faults ''"),
        ("coverage --symbol", "--symbol ''"),
        ("manifest --master", "--master ''"),
        ("review", "''"),
        ("import bars", "''"),
    ],
)
def test_an_empty_value_is_rejected_by_name(
    command: str, subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for blank in ("", " ", "\t"):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), blank])
        assert ended.value.code == 2
        shown = subject.replace("''", repr(blank))
        assert f"{shown} is empty, which no flag allows: give a value" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["ui", "--host", "\u200b"], "'\\u200b' is not the name or address of a host"),
        (["check", "--host", "\udcff"], "'\\udcff' is not the name or address of a host"),
        (["status", "--lake="], "--lake '' is empty"),
        (["status", "--lake=~/lake"], "--lake '~/lake' begins with ~"),
        (["detect", "--bars", "~/bars/*.parquet"], "--bars '~/bars/*.parquet' begins with ~"),
        (["import", "bars", "~"], "'~' begins with ~"),
    ],
)
def test_a_value_that_no_shell_replaced_is_rejected(
    arguments: list[str], subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert subject in capsys.readouterr().err
