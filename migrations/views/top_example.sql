-- one row per feature and one of its strongest samples: the question, its image, and the token on
-- which the feature fired most (5.1)
CREATE VIEW atlas.top_example AS
SELECT
    run_id,
    layer,
    feature,
    source,
    rank,
    question,
    answer,
    relation,
    max_activation,
    top_token,
    tokens,
    activations,
    sample_id,
    external_id,
    image_id,
    image_uri,
    thumbnail
FROM atlas.shown_example
WHERE quantile IS NULL;

COMMENT ON VIEW atlas.top_example IS
    'the samples on which a feature fires most, with question, image and strongest token (5.1)';
