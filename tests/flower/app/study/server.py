"""An ordinary ServerApp; the strategy is all that is exchanged."""

import json
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp

from blindsight.flower.strategy import PrivateSum

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    strategy = PrivateSum(
        config["state"], step_timeout=config["timeout"], fraction_evaluate=0.0, min_available_nodes=3
    )
    start = ArrayRecord([np.zeros((5, 2)), np.zeros(2, np.float32)])
    seen = []

    def watch(number: int, arrays: ArrayRecord) -> None:
        seen.append([part.reshape(-1).tolist() for part in arrays.to_numpy_ndarrays()])
        Path(config["out"]).write_text(json.dumps(seen))

    result = strategy.start(
        grid, start, num_rounds=config["rounds"], timeout=config["timeout"], evaluate_fn=watch
    )
    metrics = {k: dict(v) for k, v in result.train_metrics_clientapp.items()}
    Path(config["out"]).with_suffix(".done").write_text(json.dumps(metrics))
