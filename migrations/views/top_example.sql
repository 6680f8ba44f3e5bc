-- one row per feature and one of its strongest samples: the question, its image, and the token on
-- which the feature fired most (5.1)
CREATE VIEW atlas.top_example AS
SELECT
    example.run_id,
    example.layer,
    example.feature,
    example.source,
    example.rank,
    sample.question,
    sample.answer,
    sample.relation,
    example.max_activation,
    example.tokens[example.max_token + 1] AS top_token, -- arrays of SQL begin at 1
    example.tokens,
    example.activations,
    example.sample_id,
    sample.external_id,
    sample.image_id,
    image.uri AS image_uri,
    image.thumbnail
FROM atlas.example
JOIN atlas.sample ON sample.id = example.sample_id
JOIN atlas.image ON image.id = sample.image_id;

COMMENT ON VIEW atlas.top_example IS
    'the samples on which a feature fires most, with question, image and strongest token (5.1)';
COMMENT ON COLUMN atlas.top_example.top_token IS 'the token of the largest activation';
COMMENT ON COLUMN atlas.top_example.image_uri IS 'where the image file is';
