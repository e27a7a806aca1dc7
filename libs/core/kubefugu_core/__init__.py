"""What every part of kubefugu shares: errors and their table, the pool model, settings, gRPC plumbing, telemetry, stores."""
