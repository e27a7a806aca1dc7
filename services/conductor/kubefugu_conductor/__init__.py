"""The Conductor: plans a workflow over the workers of a pool. A thin host of `kubefugu_coordination.workflow`."""
