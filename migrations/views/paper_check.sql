-- what each claim of the paper is held to: a number, and where it lies if the claim is right. Check
-- 1 is the claim itself, measured as well as a run can; the others are its further parts and the
-- controls that the paper lacks. Where the paper gives no figure, the mark is what the words say:
-- more than a control's, most (more than half), near zero (0.05, or one percentage point).
CREATE VIEW atlas.paper_check AS
SELECT claim, check_no, kind, claimed_low, claimed_high, unit, drawn, says
FROM (VALUES
    ('text-adapts-best', 1, 'claim', NULL::float, 0::float, 'fraction', 'layers',
     'FVU at the end on text, less that on images'),
    ('text-adapts-best', 2, 'part', NULL, 0, 'fraction', 'layers',
     'the same, less that on all tokens'),
    ('text-adapts-best', 3, 'part', NULL, 0.05, 'fraction', 'layers',
     'FVU at the end on text: near zero'),
    ('text-adapts-best', 4, 'part', 0, NULL, 'fraction', 'layers',
     'FVU at the end of a random start, less the highest of the others'),
    ('text-stays-aligned', 1, 'claim', 0, NULL, 'cosine', 'features',
     'cosine on text, less that on all tokens, shallow third of the layers'),
    ('text-stays-aligned', 2, 'part', 0, NULL, 'cosine', 'features',
     'cosine on text, less that on images, shallow third of the layers'),
    ('text-stays-aligned', 3, 'part', -0.1, 0.1, 'cosine', 'features',
     'cosine of a random start'),
    ('deeper-layers-align', 1, 'claim', 0, NULL, 'cosine', 'features',
     'cosine on images, deep third of the layers less shallow third'),
    ('deeper-layers-align', 2, 'part', 0, NULL, 'cosine', 'features',
     'cosine on all tokens, deep third less shallow third'),
    ('half-do-not-see', 1, 'claim', 0.4, 0.6, 'fraction', 'features',
     'share of features with E_v = 0'),
    ('few-adapt', 1, 'claim', 0.025, 0.1, 'fraction', 'features',
     'share of features that are adapted: about 5 %'),
    ('vision-turned-them', 1, 'claim', 0.5, NULL, 'fraction', 'features',
     'share of the adapted that both controls leave: most'),
    ('vision-turned-them', 2, 'null', 0.5, NULL, 'fraction', 'features',
     'share of the adapted that turned further than refitting alone turns: most'),
    ('vision-turned-them', 3, 'language', 0.5, NULL, 'fraction', 'features',
     'share of the adapted that turned further than on the same questions without pictures: '
     'most'),
    ('vision-turned-them', 4, 'seeds', 0.5, NULL, 'fraction', 'features',
     'share of the adapted that are adapted in every order of the data: most'),
    ('middle-layers-adapt', 1, 'claim', 0, NULL, 'fraction', 'features',
     'share of features that are adapted, middle third of the layers less deep third'),
    ('middle-layers-adapt', 2, 'part', 0, NULL, 'fraction', 'features',
     'the same, middle third less shallow third'),
    ('middle-layers-adapt', 3, 'language', 0, NULL, 'fraction', 'features',
     'share of features that vision turned, middle third less deep third'),
    ('thresholds-do-not-matter', 1, 'claim', 0.5, NULL, 'fraction', '-',
     'smallest overlap with the chosen set, epsilon halved and doubled, 5 % of cosines less '
     'and more'),
    ('thresholds-do-not-matter', 2, 'part', 0.9, NULL, 'correlation', '-',
     'smallest correlation of the counts per layer with the chosen ones, likewise'),
    ('spatial-recruits-some', 1, 'claim', 0.05, 0.5, 'fraction', 'features',
     'share of the adapted that are candidates: more than q < 0.05 lets pass by chance, '
     'less than half'),
    ('spatial-recruits-some', 2, 'length', 0.5, NULL, 'fraction', 'features',
     'share of the candidates whose whole interval is above 1 on questions of equal length: '
     'most'),
    ('spatial-recruits-some', 3, 'language', 0.5, NULL, 'fraction', 'features',
     'share of the candidates that vision turned: most'),
    ('spatial-recruits-some', 4, 'untrained', 0, NULL, 'fraction', 'features',
     'share of features that spatial questions recruit, less that of untrained dictionaries'),
    ('neutral-prompts-decide', 1, 'claim', 0, 1, 'fraction', 'features',
     'share of the candidates that survive: some, not all'),
    ('neutral-prompts-decide', 2, 'picture', 0, NULL, 'fraction', 'features',
     'survivors: share of prompts that fire them, less that with the mean image'),
    ('neutral-prompts-decide', 3, 'picture', 0, NULL, 'fraction', 'features',
     'survivors: share of prompts that fire them, less that with another picture'),
    ('ocr-likewise', 1, 'claim', 0, 0.1, 'fraction', 'features',
     'share of the adapted that survive as features that read: some, a tenth at most'),
    ('ocr-likewise', 2, 'specific', NULL, 0.5, 'fraction', 'features',
     'share of the OCR candidates that are spatial ones as well: less than half'),
    ('ocr-likewise', 3, 'lot', 0, NULL, 'fraction', 'features',
     'share of adapted features among those that OCR recruits, less that among all that see'),
    ('descriptions-hold', 1, 'claim', 0, NULL, 'fraction', 'features',
     'F1, less that of another feature''s description on the same samples'),
    ('descriptions-hold', 2, 'lot', 0.5, NULL, 'fraction', 'features',
     'share of descriptions that tell firing from silence beyond chance: most'),
    ('descriptions-hold', 3, 'picture', 0.5, NULL, 'fraction', 'features',
     'share of descriptions that lose F1 without the pictures: most'),
    ('descriptions-hold', 4, 'untrained', 0, NULL, 'fraction', 'features',
     'F1, less that of features of untrained dictionaries'),
    ('one-meaning-in-both', 1, 'claim', 0, NULL, 'fraction', 'features',
     'F1 on VSR of descriptions made from VQAv2 alone, less the shuffled'),
    ('overlays-help', 1, 'claim', 0, NULL, 'fraction', 'features',
     'F1 with overlays, less that without'),
    ('overlays-help', 2, 'paper', 0.1, 0.3, 'fraction', 'features',
     'the same: about 0.2'),
    ('few-heads-drive', 1, 'claim', 0.5, NULL, 'fraction', 'features',
     'share of all scores (method B, size) on the strongest tenth of a feature''s heads: '
     'most'),
    ('few-heads-drive', 2, 'random', 0, NULL, 'fraction', 'heads',
     'share of heads put first that real swaps confirm, less that of heads drawn at random'),
    ('few-heads-drive', 3, 'matched', NULL, 0, 'fraction', 'features',
     'accuracy after less before, strongest heads knocked out, less that of matched heads'),
    ('middle-heads-drive', 1, 'claim', 1 / 3.0, 2 / 3.0, 'fraction', 'features',
     'depth of the layer whose heads drive a feature most, method B; 0: first, 1: last of '
     'the model'),
    ('middle-heads-drive', 2, 'part', 1 / 3.0, 2 / 3.0, 'fraction', 'features',
     'the same, method A'),
    ('methods-agree', 1, 'claim', 0, NULL, 'fraction', 'features',
     'share of a feature''s first five heads that A and B have in common, less that by lot'),
    ('methods-agree', 2, 'swap', 0, NULL, 'correlation', 'samples',
     'rank correlation of B with real swaps of queries and keys'),
    ('methods-agree', 3, 'swap', 0.9, NULL, 'correlation', 'samples',
     'the same of the mean of both: 0.9 or more'),
    ('heads-recur', 1, 'claim', 0, NULL, 'fraction', 'features',
     'share of first five heads in common to features of two relations, less that by lot'),
    ('heads-recur', 2, 'part', 0.5, NULL, 'fraction', '-',
     'share of relations that the most recurrent head serves: most'),
    ('heads-look-there', 1, 'claim', 1, NULL, 'ratio', 'images',
     'lift of the strongest heads on the objects that are named'),
    ('heads-look-there', 2, 'weakest', 0, NULL, 'ratio', 'images',
     'the same, less that of the weakest heads'),
    ('heads-look-there', 3, 'matched', 0, NULL, 'ratio', 'images',
     'the same, less that of heads of the layer that look at the picture as much'),
    ('unrelated-questions-do-not', 1, 'claim', 0, NULL, 'ratio', 'images',
     'lift on the same objects, related less unrelated questions'),
    ('removal-hurts', 1, 'claim', NULL, 0, 'fraction', 'features',
     'accuracy on the relation, after less before, six removals that hurt most'),
    ('removal-hurts', 2, 'paper', -0.16, -0.09, 'fraction', 'features',
     'the same: 9 to 16 points'),
    ('removal-hurts', 3, 'matched', NULL, 0, 'fraction', 'features',
     'the same, less that of matched controls'),
    ('removal-hurts', 4, 'part', NULL, 0, 'fraction', 'features',
     'probability of the right answer, after less before'),
    ('removal-hurts', 5, 'all', NULL, 0, 'fraction', 'features',
     'accuracy, after less before, all removed features: none chosen by what it cost here'),
    ('removal-hurts', 6, 'untrained', NULL, 0, 'fraction', 'features',
     'accuracy, after less before, all removed features, less those of untrained dictionaries'),
    ('general-questions-spared', 1, 'claim', -0.01, 0.01, 'fraction', 'features',
     'accuracy on general yes/no questions, after less before, six removals that hurt most: '
     'within a point'),
    ('general-questions-spared', 2, 'specific', NULL, 0, 'fraction', 'features',
     'loss on the relation, less that on other relations'),
    ('random-features-do-not', 1, 'claim', -0.01, 0.01, 'fraction', 'features',
     'accuracy on the relation, after less before, random features of the layer: within a '
     'point'),
    ('random-features-do-not', 2, 'matched', -0.01, 0.01, 'fraction', 'features',
     'the same, features that fire as often and project as much'),
    ('random-features-do-not', 3, 'direction', -0.01, 0.01, 'fraction', 'features',
     'the same, random directions, as much variance removed'),
    ('odds-are-high', 1, 'claim', 1, NULL, 'odds ratio', 'features',
     'odds ratio of VSR over VQAv2, six removals that hurt most, geometric mean'),
    ('odds-are-high', 2, 'paper', 4, NULL, 'odds ratio', 'features',
     'the same: 4 or more'),
    ('odds-are-high', 3, 'length', 1, NULL, 'odds ratio', 'features',
     'odds ratio of spatial over other questions of equal length, geometric mean'),
    ('survivors-are-used', 1, 'claim', NULL, 0, 'fraction', 'features',
     'accuracy on the relation, after less before, removed survivors'),
    ('survivors-are-used', 2, 'silent', NULL, 0, 'fraction', 'features',
     'the same, less that of candidates that fall silent on neutral prompts'),
    ('survivors-are-used', 3, 'language', 0.5, NULL, 'fraction', 'features',
     'share of the survivors that vision turned: most')
) AS held (claim, check_no, kind, claimed_low, claimed_high, unit, drawn, says);

COMMENT ON VIEW atlas.paper_check IS 'what each claim of the paper is held to';
COMMENT ON COLUMN atlas.paper_check.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.paper_check.check_no IS '1: the claim itself; 2 and up: parts and controls';
COMMENT ON COLUMN atlas.paper_check.kind IS
    'claim, part of it, or paper: its own figure; a control: null (refitting alone), language '
    '(questions without pictures), length, picture, lot (chance), matched, random, direction, '
    'weakest, silent, specific, swap (exact patching), all (features not chosen by outcome), seeds '
    '(other orders of the data), untrained (dictionaries of frozen random directions)';
COMMENT ON COLUMN atlas.paper_check.claimed_low IS
    'the number lies above this if the claim is right; NULL: no such end';
COMMENT ON COLUMN atlas.paper_check.claimed_high IS
    'the number lies below this if the claim is right; NULL: no such end';
COMMENT ON COLUMN atlas.paper_check.unit IS 'what the number is counted in';
COMMENT ON COLUMN atlas.paper_check.drawn IS
    'what the interval is over, the rest held fixed; -: no interval, it is a count';
COMMENT ON COLUMN atlas.paper_check.says IS 'the number, in words';
