"""The decoy's files written again with pyarrow: the same rows, encodings and codec, on one core, in one run.

    python3 -m venv target/pyarrow
    target/pyarrow/bin/pip install --require-hashes --no-deps -r functions/decoy/benches/requirements.txt
    target/pyarrow/bin/python functions/decoy/benches/pyarrow_compare.py

Runs the decoy's bench, built as for AWS, which prints its figures and leaves its files, and then pyarrow on each of them. The decoy's stage
"sort, encode, compress" begins with rows in the order of arrival, so pyarrow is timed twice: with sorting, which is the
same work, and without.
"""

import io
import os
import re
import subprocess
import tempfile
import time

# Before pyarrow is loaded: it must not use a second core.
os.environ["OMP_NUM_THREADS"] = os.environ["ARROW_IO_THREADS"] = "1"

import pyarrow  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402

ZSTD_LEVEL = 3
BLOOM_FILTER_FPP = 0.01
ROUNDS = 40


def decoy(folder: str) -> dict[str, float]:
    """Runs the decoy's bench; the milliseconds of its writing stage by name."""
    command = ["cargo", "bench", "--quiet", "--profile", "lambda", "--package", "rendezvous-decoy", "--bench", "archive"]
    command += ["--", folder]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(output)
    batches = re.findall(r"^(\S.*): \d+ rows.*\n(?:  .*\n)*?  sort, encode, compress +([\d.]+) ms", output, re.MULTILINE)
    return {name: float(milliseconds) for name, milliseconds in batches}


def write(table: pyarrow.Table, metadata: parquet.FileMetaData, order: list | None) -> tuple[float, int]:
    """Writes a table as the decoy did, sorted if so asked: the best milliseconds of many, and the bytes."""
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    dictionary = [c.path_in_schema for c in columns if c.has_dictionary_page]
    delta = {"BYTE_ARRAY": "DELTA_BYTE_ARRAY", "INT64": "DELTA_BINARY_PACKED"}
    encoding = {
        c.path_in_schema: delta[c.physical_type] if delta.get(c.physical_type) in c.encodings else "PLAIN"
        for c in columns
        if not c.has_dictionary_page
    }
    statistics = [c.path_in_schema for c in columns if c.is_stats_set]
    best, size = float("inf"), 0
    for _ in range(ROUNDS):
        to = io.BytesIO()
        start = time.perf_counter()
        parquet.write_table(
            table.sort_by(order) if order else table,
            to,
            row_group_size=table.num_rows,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=dictionary,
            column_encoding=encoding,
            write_statistics=statistics,
            write_page_index=True,
            bloom_filter_options={"request_id": {"ndv": table.num_rows, "fpp": BLOOM_FILTER_FPP}},
            store_schema=False,
        )
        best, size = min(best, time.perf_counter() - start), to.tell()
    return best * 1e3, size


def main() -> None:
    pyarrow.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as folder:
        for name, ours in decoy(folder).items():
            path = os.path.join(folder, name.replace(" ", "-") + ".parquet")
            table, metadata = parquet.read_table(path), parquet.read_metadata(path)
            arrived = table.sort_by("sequence_number").combine_chunks()
            order = [("endpoint", "ascending"), ("request_id", "ascending")]
            print(f"{name}: decoy {ours:.1f} ms, {os.path.getsize(path) / 1e6:.2f} MB")
            for what, (theirs, size) in {
                "with sorting": write(arrived, metadata, order),
                "without": write(table.combine_chunks(), metadata, None),
            }.items():
                print(
                    f"  pyarrow {pyarrow.__version__} {what}: {theirs:.1f} ms, {size / 1e6:.2f} MB; "
                    f"the decoy is {theirs / ours:.2f} times as fast"
                )


if __name__ == "__main__":
    main()
