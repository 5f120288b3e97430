"""A Python function as a model of Rendezvous.

    from rendezvous_model import model

    def predict(payload):
        return {"probability": 0.5}

    handle = model("fraud@1", endpoints=["fraud"], score=predict)

`handle` is an AWS Lambda handler for batches of the stream `input`. It behaves as the runtime of the Rust models does
(`functions/models/runtime`), whose messages, failures and metrics it has.
"""

from rendezvous_model.handler import Handler, model
from rendezvous_model.score import Invalid

__all__ = ["Handler", "Invalid", "model"]
