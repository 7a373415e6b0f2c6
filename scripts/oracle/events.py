#!/usr/bin/env python3
"""Golden bytes of finetune/events: the same events written by TensorBoard's own classes. Needs a Python with
tensorboard==2.21.0 (pip install tensorboard==2.21.0); no torch."""
import io
import json
import pathlib

import tensorboard
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def main():
    file = io.BytesIO()
    writer = RecordWriter(file)

    def write(**fields):
        writer.write(event_pb2.Event(wall_time=1700000000.25, **fields).SerializeToString())

    def scalars(step, **values):
        summary = summary_pb2.Summary(
            value=[summary_pb2.Summary.Value(tag=tag.replace("__", "/"), simple_value=value)
                   for tag, value in values.items()])
        write(step=step, summary=summary)

    write(file_version="brain.Event:2")
    scalars(0, validation__loss=3.5)
    scalars(1, train__loss=2.25, train__learning_rate=1e-4)
    scalars(300, train__loss=0.5)
    golden = {"peer": f"tensorboard {tensorboard.__version__}", "hex": file.getvalue().hex()}
    path = pathlib.Path(__file__).parents[2] / "tests/golden/finetune/events.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
