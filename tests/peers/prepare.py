"""Trains the estimators that the servers in Python load, and writes the requests: run by install.py with the packages of
functions/models/flights.

    python prepare.py FOLDER DOWNLOADS

    models/*.joblib     fitted estimators of scikit-learn; prior.joblib is its table of rates
    flights.ndjson      4,000 flights that no model has learnt from, spread over July to December
    tensors.ndjson      the same as requests of the Open Inference Protocol: the row of each
    expected.json       the champion's probability for each
"""

import json
import sys
from pathlib import Path

import joblib
import zstandard
from threadpoolctl import threadpool_limits

FLIGHTS = Path(__file__).resolve().parents[2] / "functions/models/flights"
sys.path.insert(0, str(FLIGHTS))

import train  # noqa: E402
from columns import describe, encode  # noqa: E402
from data import fetch, load  # noqa: E402

COUNT = 4_000
CHAMPION = "logistic"


def main(out: Path, downloads: Path) -> None:
    (out / "models").mkdir(parents=True, exist_ok=True)
    flights = load(fetch(downloads))
    past = flights[flights["at"].between(*train.whole_days(train.TRAINED_ON))]
    models = {model.name: model for model in train.models(describe(past))}
    for name in (CHAMPION, "timetable", "prior", "gbt"):
        model = models[name]
        with threadpool_limits(limits=1):
            model.estimator.fit(encode(past, model.columns), past["late"].to_numpy())
        fitted = model.estimator.rates if name == "prior" else model.estimator
        joblib.dump(fitted, out / "models" / f"{name}.joblib")
    requests(out, models[CHAMPION])


def requests(out: Path, champion: train.Model) -> None:
    lines = zstandard.ZstdDecompressor().stream_reader((FLIGHTS / train.SAMPLE).read_bytes()).readall()
    unseen = [line for line in lines.decode().splitlines() if json.loads(line)["at"] >= train.EVALUATED_ON[0]]
    lines = unseen[:: len(unseen) // COUNT][:COUNT]
    x = encode(train.read_payloads(lines), champion.columns)
    write(out / "flights.ndjson", (json.loads(line)["payload"] for line in lines))
    write(out / "tensors.ndjson", (tensor(row) for row in x.tolist()))
    expected = champion.estimator.predict_proba(x)[:, 1]
    (out / "expected.json").write_text(json.dumps(expected.tolist()))


def tensor(row: list[float]) -> dict:
    return {
        "inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP32", "data": row}],
        "outputs": [{"name": "predict_proba"}],
    }


def write(path: Path, values) -> None:
    path.write_text("".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
