"""The router engine: backbone, singular-value fine-tuning, policy artifacts, input formats, selection.

What is trained is what is served: the trainer and the router service both stand on this package. It knows nothing of gRPC, of
pools beyond names and models, and of where a service keeps its files. torch is imported by `backbone`, `svf.factors`,
`svf.apply` and `engine` only, so that formats, selection and artifacts stay cheap to import.
"""
