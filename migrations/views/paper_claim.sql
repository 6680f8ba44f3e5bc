-- what the paper claims, in our words, by section; claim_check says what each claim is held to
CREATE VIEW atlas.paper_claim AS
SELECT claim_no, claim, section, says, paper, saved_query
FROM (VALUES
    (1, 'text-adapts-best', '4.1, Fig. 1, A.2',
     'SAEs that adapt to text tokens alone reconstruct best, those from a random start worst.',
     'Figs 1 and 6: text-only lowest, near zero; random worst throughout', 'reconstruction'),
    (2, 'text-stays-aligned', '4.1, A.1, Fig. 5',
     'Adapted on text, features stay near their base directions; on images or on all tokens those '
     'of shallow layers turn far. A random start stays unrelated to the base.',
     'Fig. 5: text highest in every layer; random near 0', 'regimes-agree'),
    (3, 'deeper-layers-align', 'A.1, Fig. 5',
     'Adapted on images or on all tokens, features of deep layers turn less than those of shallow '
     'ones.',
     'Fig. 5: rise with depth', 'regimes-agree'),
    (4, 'half-do-not-see', '4.2',
     'About half of all features have no visual energy.',
     'nearly half have E_v = 0', 'energy-readings'),
    (5, 'few-adapt', '4.2',
     'Few features both see and turned.',
     'about 5 % of all features', 'funnel'),
    (6, 'vision-turned-them', '4.2, abstract',
     'A low decoder cosine tells that multimodal fine-tuning gave a feature a new meaning.',
     'bottom 25 % of cosines; no control', 'beyond-controls'),
    (7, 'middle-layers-adapt', 'A.3, Fig. 7a',
     'Adapted features are most in middle layers and fewer in deep ones.',
     'Fig. 7a', 'turned-layers'),
    (8, 'thresholds-do-not-matter', 'A.4, Fig. 8',
     'Around the chosen thresholds the adapted set stays much the same.',
     'a broad stable region around epsilon 1e-3 and 25 %', 'threshold-sweep'),
    (9, 'spatial-recruits-some', '4.3, A.5, Fig. 9',
     'Some of the adapted features, and not most, fire more on spatial questions.',
     'a selective subset, not counted', 'spatial-odds'),
    (10, 'neutral-prompts-decide', '4.3',
     'Neutral prompts tell features that see from those that hear the words of the question.',
     'survivors keep firing, the others fall silent; not counted', 'neutral-prompts'),
    (11, 'ocr-likewise', '4.3, A.6, Fig. 10',
     'The same steps find a compact set of features that read, among the adapted ones and apart '
     'from the spatial.',
     'Fig. 10: a compact subset within the adapted region', 'reads'),
    (12, 'descriptions-hold', '5.1, B.1',
     'One sentence says what a feature fires on.',
     'F1 as confidence; no mean printed, no baseline', 'descriptions-beyond-chance'),
    (13, 'one-meaning-in-both', '5.1, B, Figs 3 and 11',
     'Top samples from VQAv2 and from VSR show the same meaning.',
     'three examples', 'strongest-samples'),
    (14, 'overlays-help', 'B.1',
     'Descriptions are better where the explainer also sees where heads look.',
     'about +0.2 F1', 'overlays-help'),
    (15, 'few-heads-drive', '5.2, C.1, Fig. 13',
     'A small group of heads drives the spatial features.',
     'Fig. 13: a small subset of notably high scores', 'heads-matter'),
    (16, 'middle-heads-drive', '5.2, C.1, Fig. 12',
     'The heads that drive them lie in middle layers.',
     'Fig. 12: both methods peak around the middle', 'head-layers'),
    (17, 'methods-agree', '5.2, C.2, Fig. 14',
     'Attribution patching names the heads that matter, and both of its methods the same ones.',
     'overlap of the first three heads in three examples; no real swap', 'methods-agree'),
    (18, 'heads-recur', '5.2, Fig. 4',
     'The same heads recur across related spatial relations.',
     'L13H1 for in front of, at the back of and on top of', 'heads-recur'),
    (19, 'heads-look-there', '5.2, C.3, Figs 14 and 15',
     'Strong heads look at what the question asks about, the weakest ones do not.',
     'overlays of examples', 'heads-look'),
    (20, 'unrelated-questions-do-not', '5.2, Fig. 4, E',
     'Questions about something else do not make these heads look there.',
     'overlays of examples', 'own-prompts'),
    (21, 'removal-hurts', '5.3, Table 1, D',
     'Removing one spatial feature costs accuracy on statements of its relation.',
     '9 to 16 points lost (Table 1: 7.98 to 15.54)', 'paper-tables'),
    (22, 'general-questions-spared', '5.3, Table 1',
     'General questions are answered as before.',
     'at most 1 point lost (Table 1: 0.10 to 0.80)', 'removal-spatial-alone'),
    (23, 'random-features-do-not', '5.3, Table 1',
     'Removing random features of the layer changes nothing.',
     'near zero (Table 1: -1.71 to +1.08)', 'removal-specific'),
    (24, 'odds-are-high', '5.3, Table 1',
     'The features whose removal hurts fire much more on spatial text.',
     'odds ratios of 4.32 to 9.10', 'paper-tables'),
    (25, 'survivors-are-used', '4.3, 5.3, abstract',
     'What survived the steps is what spatial answers rest on.',
     'all features of Table 1 survived', 'removal-hurts')
) AS said (claim_no, claim, section, says, paper, saved_query);

COMMENT ON VIEW atlas.paper_claim IS 'what the paper claims, in our words, by section';
COMMENT ON COLUMN atlas.paper_claim.claim_no IS 'place in the order of the paper, 1-based';
COMMENT ON COLUMN atlas.paper_claim.claim IS 'its name';
COMMENT ON COLUMN atlas.paper_claim.section IS 'where the paper says so';
COMMENT ON COLUMN atlas.paper_claim.says IS 'the claim, in our words';
COMMENT ON COLUMN atlas.paper_claim.paper IS 'what the paper gives for it';
COMMENT ON COLUMN atlas.paper_claim.saved_query IS
    'question of the cookbook that shows the rows behind it (saved_query.slug)';
