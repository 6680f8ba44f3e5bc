"""From models and data to a published atlas: inputs, stages, run folder, warehouse, commands."""
