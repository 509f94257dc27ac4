"""What is prepared of frames, what the model answers live, and who may ask it."""

import http.client
import json
import shutil
import threading
import time
from itertools import product

import numpy as np
import pytest
import torch
import uvicorn

from pisces import models
from pisces.attribution.explained_model import ExplainedModel
from pisces.commands import explore
from pisces.core import files
from pisces.explorer import live, server
from pisces.explorer.frames import spread
from pisces.explorer.live import LiveModel, Question, parse
from pisces.explorer.prepared import prepare
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel
from pisces.report.page import build
from tests.conftest import SAMPLES
from tests.page_files import EXPLORE, plan_of, read, run_of
from tests.pipeline import PATIENCE_S


@pytest.fixture(scope="module")
def prepared(workspace) -> dict[str, np.ndarray]:
    with np.load(workspace / "data/explorer.npz") as arrays:
        return dict(arrays)


def lit_of(prepared, frame: int) -> np.ndarray:
    start = int(prepared["lit_per_frame"][:frame].sum())
    return prepared["lit"][start : start + prepared["lit_per_frame"][frame]]


def taken_by(prepared, frame: int, choice: int) -> np.ndarray:
    """Pixel numbers that a choice takes of a frame."""
    choices = len(prepared["choice_rule"])
    widths = -(-prepared["lit_per_frame"] // 8)
    start = choices * int(widths[:frame].sum()) + choice * widths[frame]
    bits = np.unpackbits(prepared["taken"][start : start + widths[frame]])
    lit = lit_of(prepared, frame)
    return lit[bits[: len(lit)].astype(bool)]


# Which frames


@pytest.mark.parametrize("most", [1, 2, 5, 24, 100, 1000])
def test_frames_are_spread_and_never_too_many(most):
    every = np.array(list(product(range(6), range(4), range(3))))
    chosen = spread(every, most)
    assert 0 < len(chosen) <= most
    cells = {tuple(frame[:2]) for frame in chosen.tolist()}
    if most >= 24:
        assert len(cells) == 24
    if most >= len(every):
        assert len(chosen) == len(every)
    assert len({frame[0] for frame in chosen.tolist()}) == min(most, 6)


# What is prepared


def test_a_choice_takes_what_its_mask_takes(prepared, data):
    plan = plan_of(data, prepared["frame"])
    mask = next(mask for mask in plan.masks if (mask.view, mask.rule) == ("symbol", "ring"))
    place = plan.masks.index(mask)
    pixels, offsets = plan.pixels(data, 0, len(plan.frame), [mask])[mask]
    assert len(pixels) > 0
    for frame in range(len(plan.frame)):
        expected = pixels[offsets[frame] : offsets[frame + 1]]
        np.testing.assert_array_equal(taken_by(prepared, frame, place), expected)


def test_a_method_puts_the_pixels_of_the_highest_scores_first(prepared):
    rules, heads = prepared["choice_rule"].tolist(), prepared["choice_name"].tolist()
    choice = next(
        i for i, rule in enumerate(rules) if (rule, heads[i]) == ("integrated_gradients", "snr")
    )
    maps = len(prepared["map_method"])
    of_snr = prepared["map_head"].tolist().index("snr")
    lit = lit_of(prepared, 0)
    scores = prepared["maps"][: maps * len(lit)].reshape(maps, len(lit))[of_snr]
    taken = np.isin(lit, taken_by(prepared, 0, choice))
    assert taken.sum() == round(len(lit) * EXPLORE.levels_percent[0] / 100)
    assert scores[taken].min() >= scores[~taken].max()


def test_live_answers_are_those_that_were_prepared(prepared, explained):
    model = LiveModel(explained, prepared["frame"])
    for frame, choice in ((0, -1), (3, 0), (5, 4)):
        pixels = [] if choice < 0 else taken_by(prepared, frame, choice).tolist()
        said = model.answer(Question(tuple(prepared["frame"][frame].tolist()), tuple(pixels)))
        for head in ("modulation", "snr"):
            expected = prepared[f"{head}_prob"][frame, choice + 1]
            np.testing.assert_allclose(said[head], expected, atol=1e-5)


def test_pixels_that_are_not_there_are_refused(prepared, explained):
    model = LiveModel(explained, prepared["frame"][:2])
    frame = tuple(prepared["frame"][0].tolist())
    dark = next(pixel for pixel in range(10_000) if pixel not in set(lit_of(prepared, 0)))
    for pixels in ((dark,), (-1,), (10**9,)):
        with pytest.raises(ValueError, match="no lit pixel of the frame"):
            model.answer(Question(frame, pixels))
    with pytest.raises(ValueError, match="not among those on the page"):
        model.answer(Question((0, 0, 10**6), ()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"[" * 100_000,
        b'{"frame": [0, 0, 0]}',
        b'{"frame": [0, 0], "pixels": []}',
        b'{"frame": [0, 0, 0], "pixels": [1.5]}',
        b'{"frame": [0, 0, true], "pixels": []}',
        b'{"frame": [0, 0, 0], "pixels": [], "more": 1}',
        b'{"frame": [0, 0, 0], "pixels": [9223372036854775808]}',
    ],
)
def test_what_is_no_question_is_refused(body):
    with pytest.raises(ValueError, match=r"question|whole numbers|modulation, SNR and row|beyond"):
        parse(body)


# Who may ask


@pytest.fixture(scope="module")
def port(workspace, data):
    """Of a server whose model always says the same."""
    made, _ = build.page(read(workspace), run_of(data))
    listening = server.listening(0)
    number = listening.getsockname()[1]

    def answer(question: Question) -> dict[str, list[float]]:
        return {"modulation": [float(len(question.pixels))], "snr": [1.0]}

    config = uvicorn.Config(server.app(server.live_page(made), answer, number), log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield number
    running.should_exit = True
    thread.join()
    listening.close()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, named)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, content


QUESTION = json.dumps({"frame": [0, 0, 0], "pixels": [4, 2]}).encode()
JSON = {"Content_Type": "application/json"}


def test_the_page_is_served_and_its_questions_are_answered(port):
    status, page = ask(port, "GET", "/")
    assert status == 200
    assert b'data-live="yes"' in page
    assert b"connect-src 'self'" in page
    own = {"Origin": f"http://127.0.0.1:{port}"}
    status, answer = ask(port, "POST", "/answer", QUESTION, **JSON, **own)
    assert (status, json.loads(answer)["modulation"]) == (200, [2.0])


def test_hosts_and_kinds_may_be_written_otherwise(port):
    headers = {"Host": f"LOCALHOST:{port}", "Content_Type": "application/json; charset=utf-8"}
    assert ask(port, "POST", "/answer", QUESTION, **headers)[0] == 200


def test_a_second_origin_that_is_foreign_is_refused(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/answer")
    for origin in (f"http://127.0.0.1:{port}", "http://pisces.example"):
        connection.putheader("Origin", origin)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(QUESTION)))
    connection.endheaders(QUESTION)
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "pisces.example"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Origin": "http://pisces.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content_Type": "text/plain"}, 415),
    ],
)
def test_other_hosts_and_origins_get_nothing(port, headers, status):
    refused, answer = ask(port, "POST", "/answer", QUESTION, **(JSON | headers))
    assert refused == status
    assert set(json.loads(answer)) == {"error"}
    if "Content_Type" not in headers:
        assert ask(port, "GET", "/", **headers)[0] == status


def test_a_long_question_is_refused(port):
    long = json.dumps({"frame": [0, 0, 0], "pixels": [1] * server.MOST_BYTES}).encode()
    try:
        status, _ = ask(port, "POST", "/answer", long, **JSON)
    except OSError:
        return  # hung up in the middle of it
    assert status == 413


def test_a_wrong_question_is_answered_with_what_is_wrong(port):
    status, answer = ask(port, "POST", "/answer", b"{}", **JSON)
    assert status == 422
    assert "keys frame and pixels" in json.loads(answer)["error"]


def test_a_taken_port_is_named(port):
    with pytest.raises(OSError, match=rf"port {port} of 127\.0\.0\.1 is taken .* --port"):
        server.listening(port)


def test_what_is_no_port_is_refused():
    with pytest.raises(ValueError, match="--port 70000 is no port"):
        server.listening(70_000)


# The command


@pytest.fixture
def here(workspace, data, iq_shards, tmp_path, monkeypatch):
    """The workspace with its page, to be run in."""
    root = shutil.copytree(workspace, tmp_path / "here")
    for name in ("constellations", "split_hdf5"):
        (root / "data" / name).symlink_to(iq_shards.with_name(name))
    made, _ = build.page(read(root), run_of(data))
    files.write_bytes(root / "plots/report.html", made.encode())
    shutil.copy("presets/default.yaml", root / "params.yaml")
    monkeypatch.chdir(root)
    return root


@pytest.mark.usefixtures("here")
def test_the_command_serves_the_page_with_its_model(monkeypatch, capsys):
    served = []
    monkeypatch.setattr(server, "serve", lambda *given: served.append(given))
    explore.explore(0)
    page, answer, listening = served[0]
    number = listening.getsockname()[1]
    assert 'data-live="yes"' in page
    assert set(answer(Question((0, 0, 0), ()))) == {"modulation", "snr"}
    listening.close()
    assert f"open http://127.0.0.1:{number}/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("models/model.safetensors", r"models/model\.safetensors does not exist.*dvc repro train"),
        ("plots/report.html", r"plots/report\.html does not exist.*dvc repro page"),
        ("data/explorer.npz", r"data/explorer\.npz does not exist.*dvc repro explore"),
    ],
)
def test_what_is_missing_is_named(here, lacking, said):
    (here / lacking).unlink()
    with pytest.raises(FileNotFoundError, match=said):
        explore.explore(0)


def test_frames_of_another_model_are_not_served(here):
    path = here / "data/explorer.npz"
    with np.load(path) as stored:
        arrays = dict(stored) | {"weights_sha256": np.array("f" * 64)}
    path.unlink()
    files.write_npz(path, arrays)
    with pytest.raises(ValueError, match=r"data/explorer\.npz is of another model than models"):
        explore.explore(0)


def test_a_page_of_another_model_is_not_served(here):
    page = (here / "plots/report.html").read_text()
    digest = files.read_json(here / "models/model.json")["weights_sha256"]
    (here / "plots/report.html").write_text(page.replace(digest, "f" * 64))
    with pytest.raises(ValueError, match=r"plots/report\.html is of another model than models"):
        explore.explore(0)


def test_the_model_that_is_loaded_answers_as_prepared(here, prepared):
    model, _ = live.load(
        here / "models",
        here / "data",
        here / "data/explorer.npz",
        {"fill": "zero", "precision": "32-true"},
        seed=1,
    )
    said = model.answer(Question(tuple(prepared["frame"][2].tolist()), ()))
    np.testing.assert_allclose(said["snr"], prepared["snr_prob"][2, 0], atol=1e-5)


def test_frames_of_a_model_of_raw_iq_are_prepared_as_well(data, iq_shards):
    waveform = Waveform(SAMPLES)
    architecture = Architecture("mcnet", "plain", "standard")
    classes = len(data.modulations), data.snrs_db
    model = models.build(architecture, waveform.shape, *classes).eval()
    trained = TrainedModel(model, architecture, waveform, data.modulations, data.snrs_db)
    prober = waveform.prober(iq_shards.parent, "zero", 1)
    of_iq = ExplainedModel.on_device(trained, prober, data, 1, torch.device("cpu"))

    index = data.every_frame()[:: len(data.every_frame()) // 3][:3]
    found = prepare(of_iq, plan_of(data, index), [], EXPLORE, None)
    assert found.modulation_prob.shape == (3, 1 + len(found.choices), len(data.modulations))
    without = np.abs(found.modulation_prob[:, 1:] - found.modulation_prob[:, :1]).max()
    assert without > 0
