"""gRPC plumbing shared by all services: error details, server construction with health and interceptors, client channels."""

from kubefugu_core.rpc.channels import open_channel
from kubefugu_core.rpc.details import from_rpc_error
from kubefugu_core.rpc.server import RpcServer

__all__ = ["RpcServer", "from_rpc_error", "open_channel"]
