"""What readers keep of features, in the schema `lists`: runs come and go without touching it."""
