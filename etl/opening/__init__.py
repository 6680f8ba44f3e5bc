"""Before a run: is everything right that it needs, and what will it cost? (`build`, `doctor`)"""
