"""An ordinary ClientApp; the mod is all that is added to it."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from blindsight.flower.client import private_sum

app = ClientApp(mods=[private_sum()])


@app.train()
def train(message: Message, context: Context) -> Message:
    """One step towards this user's own number, so that the mean of all is known."""
    weights, bias = message.content["arrays"].to_numpy_ndarrays()
    own = float(context.node_config["own"])
    new = [weights + own, np.full_like(bias, own)]
    metrics = MetricRecord({"num-examples": 1, "secret-loss": own})
    return Message(RecordDict({"arrays": ArrayRecord(new), "metrics": metrics}), reply_to=message)
