-- one row per feature, role and bin of strength: on how many tokens it fires so strongly (4.2)
CREATE VIEW atlas.activation_bin AS
SELECT
    histogram.run_id,
    histogram.layer,
    histogram.feature,
    histogram.role,
    at.bin,
    CASE WHEN at.bin > 0 THEN (1 + at.bin % 2 / 2.0) * 2.0 ^ (at.bin / 2 - 6) ELSE 0 END AS low,
    CASE WHEN at.bin < 31 THEN (1 + (at.bin + 1) % 2 / 2.0) * 2.0 ^ ((at.bin + 1) / 2 - 6) END AS high,
    counted.n_tokens
FROM atlas.activation_histogram AS histogram
CROSS JOIN LATERAL unnest(histogram.n_tokens) WITH ORDINALITY AS counted (n_tokens, place)
CROSS JOIN LATERAL (SELECT (histogram.first_bin + counted.place - 1)::integer AS bin) AS at;

COMMENT ON VIEW atlas.activation_bin IS
    'how strongly a feature fires on each kind of token, bin by bin (4.2)';
COMMENT ON COLUMN atlas.activation_bin.bin IS 'number of the bin, 0 to 31';
COMMENT ON COLUMN atlas.activation_bin.low IS
    'lower edge of the bin; the first holds all that is weaker than the second';
COMMENT ON COLUMN atlas.activation_bin.high IS
    'upper edge, where the next bin begins; NULL: the last holds all that is stronger';
COMMENT ON COLUMN atlas.activation_bin.n_tokens IS
    'tokens of the role on which the feature fires so strongly';
