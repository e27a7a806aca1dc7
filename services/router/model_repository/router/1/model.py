"""Triton's entry point: requests and responses of the python backend around kubefugu_routing's staged engine.

Environment: KUBEFUGU_TRITON_BACKBONE (hub id, directory, GGUF file or catalog name), KUBEFUGU_TRITON_STAGE_DIR (folder shared
with the router service), KUBEFUGU_TRITON_DTYPE, KUBEFUGU_TRITON_THREADS, KUBEFUGU_TRITON_KV_CACHE_MIB,
KUBEFUGU_TRITON_MAX_STEP_TOKENS.

Tensors go through DLPack: a server built against numpy 1 reads and writes a numpy 2 array with wrong strides and sizes.
Errors are returned as responses, never raised out of execute(), which would end the process.

The stub's interpreter ignores PYTHONPATH, with which the image says where our packages lie.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder and folder not in sys.path]

import torch  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402

from kubefugu_core.errors import KubefuguError, spec_of  # noqa: E402
from kubefugu_routing.staged import Decided, StagedEngine, open_engine  # noqa: E402


class TritonPythonModel:
    """One instance: one process, one engine."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the backbone and every staged policy; the model is ready only after that."""
        env = os.environ
        device = f"cuda:{args['model_instance_device_id']}" if args["model_instance_kind"] == "GPU" else "cpu"
        engine = open_engine(
            env["KUBEFUGU_TRITON_BACKBONE"],
            device=device,
            dtype=env.get("KUBEFUGU_TRITON_DTYPE", "auto"),
            threads=int(env.get("KUBEFUGU_TRITON_THREADS", "1")),
            kv_cache_bytes=int(env.get("KUBEFUGU_TRITON_KV_CACHE_MIB", "512")) << 20,
            max_step_tokens=int(env.get("KUBEFUGU_TRITON_MAX_STEP_TOKENS", "2048")),
        )
        name = args["model_instance_name"]
        self._staged = StagedEngine(engine, stage_dir=Path(env["KUBEFUGU_TRITON_STAGE_DIR"]), instance=name)
        self._staged.start()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decide a batch. Each request fails alone."""
        batch = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "input_ids")
            token_ids = torch.utils.dlpack.from_dlpack(tensor.to_dlpack()).reshape(-1).tolist()
            policies = json.loads(request.parameters() or "{}").get("policies", "")
            batch.append((token_ids, tuple(policies.split(",")) if policies else ()))
        return [self._response(result) for result in self._staged.decide(batch)]

    def _response(self, result: Decided | KubefuguError) -> Any:
        if isinstance(result, KubefuguError):
            code = getattr(pb_utils.TritonError, spec_of(result).grpc_code.name, pb_utils.TritonError.INTERNAL)
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(result.message, code))
        logits = torch.from_numpy(result.logits).reshape(1, -1)
        cache_mib = self._staged.engine.cache_bytes / (1 << 20)
        told = [
            result.cached_tokens,
            result.engine_ms,
            self._staged.number,
            result.batch_sequences,
            result.batch_tokens,
            cache_mib,
        ]
        meta = torch.tensor([told], dtype=torch.float32)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor.from_dlpack("logits", logits), pb_utils.Tensor.from_dlpack("meta", meta)]
        )

    def finalize(self) -> None:
        """Stop the watcher."""
        self._staged.close()
