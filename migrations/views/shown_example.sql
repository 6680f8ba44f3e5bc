-- one row per feature and one of its samples: the strongest, then some of each part of its
-- activations and some at random; the question, its image, and the token on which the feature fired most (5.1)
CREATE VIEW atlas.shown_example AS
SELECT
    example.run_id,
    example.layer,
    example.feature,
    example.source,
    example.rank,
    example.quantile,
    example.draw,
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

COMMENT ON VIEW atlas.shown_example IS
    'samples of a feature from all of its activations, with question, image and strongest token (5.1)';
COMMENT ON COLUMN atlas.shown_example.top_token IS 'the token of the largest activation';
COMMENT ON COLUMN atlas.shown_example.image_uri IS 'where the image file is';
