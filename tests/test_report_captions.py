"""Captions are whole sentences that LaTeX can read, and name the model and the data."""

import re

from matplotlib.figure import Figure

from pisces.report import captions
from pisces.report.captions import caption_of


def figure(*sentences: str) -> Figure:
    made = Figure()
    captions.describe(made, *sentences)
    return made


def test_a_caption_is_of_sentences_and_an_empty_one_adds_nothing():
    described = figure("Accuracy", "", "Dotted: chance")
    assert caption_of(described) == "Accuracy. Dotted: chance."
    captions.add(described, "", "the denoiser is bypassed")
    assert caption_of(described) == "Accuracy. Dotted: chance. The denoiser is bypassed."
    assert caption_of(Figure()) == ""


def test_latex_has_a_command_a_picture_whose_name_is_of_letters_alone():
    text = captions.latex({"pis_by_cell": figure("One"), "audit": figure("Two")})
    found = re.findall(r"^\\newcommand{\\([A-Za-z]+)}{%\n  (.+)}$", text, re.MULTILINE)
    assert found == [("PisByCellCaption", "One."), ("AuditCaption", "Two.")]


def test_no_sign_of_a_caption_is_a_command_to_latex():
    signs = "".join(map(chr, range(32, 127)))
    escaped = captions.escaped(signs)
    named = re.sub(r"\\[%_&#${}]|\\text[a-z]+{}|\$[<>|]\$", "", escaped)
    assert not set(named) & set("\\{}$&#^_%~<>|")
    assert set(named) == set(signs) - set("\\{}$&#^_%~<>|")


def test_model_and_data_are_named():
    render = {"views": ["symbol", "noise"], "size": 64}
    card = {"model": "resnet18", "input": {"kind": "constellation", "render": render}}
    expected = "Model: resnet18 of constellations (symbol, noise; 64 x 64 pixels)"
    assert captions.of_model(card) == expected
    assert captions.of_data("mine.h5", "power", (17, 1)) == "Data: mine.h5, 17 modulations at 1 SNR"
    assert "half of the SNR in dB" in captions.of_data("mine.h5", "amplitude")
