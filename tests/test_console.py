"""What a person sees: one line for a mistake of theirs, the whole story for one of ours, and no bar in a log."""

import pytest

from pisces import console


def fail(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.fixture(autouse=True)
def _without_debug(monkeypatch):
    monkeypatch.delenv("PISCES_DEBUG", raising=False)


@pytest.mark.parametrize("error", [ValueError("lr = -1 is wrong"), FileNotFoundError("x.h5 is missing"), OSError("the disk is full")])
def test_a_mistake_of_the_users_is_one_line_and_status_1(error, capsys):
    with pytest.raises(SystemExit) as stop:
        console.run(fail(error))
    assert stop.value.code == 1
    assert capsys.readouterr() == ("", f"error: {error}\n")


def test_debug_shows_where_it_was_raised(monkeypatch, capsys):
    monkeypatch.setenv("PISCES_DEBUG", "1")
    with pytest.raises(ValueError, match="lr = -1"):
        console.run(fail(ValueError("lr = -1")))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyError("lr"), TypeError("no"), AssertionError("no"), KeyboardInterrupt()])
def test_a_mistake_of_ours_is_not_hidden(error):
    with pytest.raises(type(error)):
        console.run(fail(error))


def test_a_good_stage_ends_well(capsys):
    console.run(lambda: print("wrote 3 frames"))
    assert capsys.readouterr() == ("wrote 3 frames\n", "")


def test_a_log_gets_lines_and_no_carriage_returns(monkeypatch, capsys):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", -1)
    assert list(console.progress("abc", "render")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "render: 0 of 3\nrender: 1 of 3\nrender: 2 of 3\n"
    assert list(console.progress(iter("ab"), "render")) == ["a", "b"]
    assert capsys.readouterr().err == "render: 0\nrender: 1\n"
    list(console.progress(iter("ab"), "render", total=2))
    assert "render: 1 of 2\n" in capsys.readouterr().err


def test_quick_work_says_nothing(capsys):
    assert list(console.progress(range(1000), "render")) == list(range(1000))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(console.progress(range(3), "render")) == [0, 1, 2]
    assert "\rrender" in capsys.readouterr().err
