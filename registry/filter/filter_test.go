package filter_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/registry/fault"
	"telco-churn-mlops/registry/filter"
)

// entity is a thing to search: keys are "metrics.auc", "params.lr", "tags.a", and attributes by their name.
type entity struct {
	texts    map[string]string
	numbers  map[string]float64
	datasets map[string][]string
}

var prefixes = map[filter.Kind]string{filter.Attribute: "", filter.Metric: "metrics.", filter.Param: "params.", filter.Tag: "tags."}

func (e entity) Text(kind filter.Kind, key string) (string, bool) {
	v, ok := e.texts[prefixes[kind]+key]
	return v, ok
}

func (e entity) Number(kind filter.Kind, key string) (float64, bool) {
	v, ok := e.numbers[prefixes[kind]+key]
	return v, ok
}

func (e entity) Texts(_ filter.Kind, key string) []string { return e.datasets[key] }

var run = entity{
	texts: map[string]string{"run_id": "r1", "run_name": "Fast Otter", "status": "FINISHED", "user_id": "ann", "params.lr": "0.1", "params.a b": "x",
		"tags.mlflow.user": "ann", "tags.city": "Köln 100%", "tags.quote": "it's", "tags.empty": "", "params.AND": "and"},
	numbers:  map[string]float64{"start_time": 1000, "metrics.auc": .9, "metrics.a b": 2, "metrics.nan": math.NaN(), "metrics.neg": -1e-3},
	datasets: map[string][]string{"name": {"telco", "other"}, "digest": {"d1", "d2"}, "context": {"training"}},
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		text string
		want bool
	}{
		{"", true},
		{" \n\t", true},
		{"metrics.auc > 0.8", true},
		{"metric.auc>=.9", true},
		{"METRICS.auc<0.9", false},
		{"metrics.auc != 0.9", false},
		{"metrics.`a b` = 2", true},
		{`metrics."a b" = 2.0`, true},
		{"`metrics.a b` <= 2e0", true},
		{`"metrics.a b" <= +2`, true},
		{"metrics.neg = -0.001", true},
		{"metrics.nan > 0", false},
		{"metrics.nan <= 0", false},
		{"metrics.nan = 0", false},
		{"metrics.nan != 0", true},
		{"metrics.none != 0", false},
		{"params.lr = '0.1'", true},
		{`param.lr = "0.1"`, true},
		{"parameters.lr != '0.2' and params.`a b` = 'x'", true},
		{"params.none != 'x'", false},
		{"params.AND = 'and' AND params.lr LIKE '0._'", true},
		{"tags.mlflow.user = 'ann'", true},
		{"tags.`mlflow.user` = 'ann'", true},
		{"tag.quote = 'it''s'", true},
		{"tags.empty = ''", true},
		{"tags.city LIKE 'K_ln%'", true},
		{"tags.city LIKE 'k%'", false},
		{"tags.city ILIKE 'kÖLN%'", true},
		{"tags.city LIKE '%100%'", true},
		{"tags.city LIKE '%100'", false},
		{"tags.city LIKE 'Köln 100_'", true},
		{"tags.city LIKE '_'", false},
		{"status = 'FINISHED'", true},
		{"attributes.status IN ('RUNNING', 'FINISHED')", true},
		{"attr.status NOT IN ('RUNNING')", true},
		{"run.status not in ('FINISHED')", false},
		{"attribute.run_name ILIKE '%otter'", true},
		{"`run name` = 'Fast Otter'", true},
		{"created >= 1000 AND start_time < 1001", true},
		{"end_time > 0", false},
		{"datasets.name = 'other'", true},
		{"dataset.digest IN ('x', 'd2')", true},
		{"datasets.context = 'eval'", false},
		{"run_id = 'r1'", true},
		{"run_id != '" + strings.Repeat("x", 2000) + "'", true},
	} {
		t.Run(tc.text, func(t *testing.T) {
			f, err := filter.Parse(tc.text, filter.Runs)
			require.NoError(t, err)
			require.Equal(t, tc.want, f.Match(run))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		domain     filter.Domain
		words      []string
	}{
		{"OR", "metrics.a > 1 OR metrics.b > 1", filter.Runs, []string{"character 15", "OR"}},
		{"brackets", "(metrics.a > 1)", filter.Runs, []string{"character 1", "brackets"}},
		{"no operator", "metrics.a", filter.Runs, []string{"character 10", "operator"}},
		{"unknown operator", "metrics.a == 1", filter.Runs, []string{"character 11", "=="}},
		{"no value", "metrics.a >", filter.Runs, []string{"number"}},
		{"text for a number", "metrics.a > '1'", filter.Runs, []string{"character 13", "number"}},
		{"number for a text", "params.a = 1", filter.Runs, []string{"character 12", "quotes"}},
		{"infinite", "metrics.a > 1e999", filter.Runs, []string{"1e999"}},
		{"a word for a number", "metrics.a > inf", filter.Runs, []string{"number"}},
		{"order of texts", "params.a > '1'", filter.Runs, []string{"character 10"}},
		{"LIKE of numbers", "metrics.a LIKE '1'", filter.Runs, []string{"LIKE"}},
		{"IN of params", "params.a IN ('1')", filter.Runs, []string{"IN"}},
		{"unknown attribute", "attributes.nope = 'x'", filter.Runs, []string{"nope", "run_id", "start_time"}},
		{"unknown prefix", "weights.a = 'x'", filter.Runs, []string{"weights."}},
		{"metrics of experiments", "metrics.a > 1", filter.Experiments, []string{"experiments", "metrics."}},
		{"run. of models", "run.name = 'x'", filter.Models, []string{"run."}},
		{"datasets' other keys", "datasets.schema = 'x'", filter.Runs, []string{"datasets"}},
		{"open quote", "params.a = 'x", filter.Runs, []string{"character 12", "closed"}},
		{"open backtick", "params.`a = 'x'", filter.Runs, []string{"character 8", "closed"}},
		{"empty key", "metrics. > 1", filter.Runs, []string{"empty"}},
		{"empty list", "status IN ()", filter.Runs, []string{"quotes"}},
		{"open list", "status IN ('a'", filter.Runs, []string{"bracket"}},
		{"list without brackets", "status IN 'a'", filter.Runs, []string{"brackets"}},
		{"NOT alone", "status NOT LIKE 'a'", filter.Runs, []string{"IN"}},
		{"two without AND", "status = 'a' status = 'b'", filter.Runs, []string{"character 14", "AND"}},
		{"AND at the end", "status = 'a' AND", filter.Runs, []string{"field"}},
		{"junk", "status = 'a'; DROP TABLE runs", filter.Runs, []string{"character 13"}},
		{"not UTF-8", "params.\xff = 'a'", filter.Runs, []string{"UTF-8"}},
		{"too long", strings.Repeat(" ", 20000), filter.Runs, []string{"20000"}},
		{"long pattern", "tags.a LIKE '" + strings.Repeat("a%", 501) + "'", filter.Runs, []string{"character 13", "1000"}},
		{"long piece of a pattern", "tags.a ILIKE '%" + strings.Repeat("_", 251) + "%'", filter.Runs, []string{"character 14", "250"}},
		{"only to order by", "last_updated_timestamp > 1", filter.Models, []string{"name"}},
		{"place is in characters", "tags.ж = 'жж' OR", filter.Runs, []string{"character 15"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := filter.Parse(tc.text, tc.domain)
			require.Error(t, err)
			require.Equal(t, fault.Invalid, fault.CodeOf(err))
			for _, w := range tc.words {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

func TestEveryDomainHasItsAttributes(t *testing.T) {
	for domain, texts := range map[filter.Domain][]string{
		filter.Experiments:  {"name = 'a'", "creation_time > 1", "last_update_time < 2", "tags.k LIKE 'x'"},
		filter.Models:       {"name ILIKE 'a%'", "tags.k = 'x'", "attributes.name = 'a'"},
		filter.Versions:     {"name = 'a'", "version_number >= 2", "run_id IN ('a', 'b')", "source_path LIKE 's3:%'", "tags.`a b` != 'x'"},
		filter.LoggedModels: {"name = 'a'", "metrics.auc > 0.1", "params.p = 'x'", "creation_timestamp > 1", "attributes.model_type = 'x'"},
	} {
		for _, text := range texts {
			_, err := filter.Parse(text, domain)
			require.NoError(t, err, text)
		}
	}
}

func TestEqual(t *testing.T) {
	f, err := filter.Parse("metrics.a > 1 AND run_id = 'x'", filter.Runs)
	require.NoError(t, err)
	id, ok := f.Equal("run_id")
	require.True(t, ok)
	require.Equal(t, "x", id)
	f, err = filter.Parse("run_id != 'x' AND tags.run_id = 'y'", filter.Runs)
	require.NoError(t, err)
	_, ok = f.Equal("run_id")
	require.False(t, ok)
}
