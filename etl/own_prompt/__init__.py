"""Pictures and questions of one's own, through the model that a published run was built with."""
