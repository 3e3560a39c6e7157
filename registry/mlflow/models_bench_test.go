package mlflow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"telco-churn-mlops/events"
	"telco-churn-mlops/registry"
	"telco-churn-mlops/registry/filter"
)

// manyVersions is a catalog of models with versions each.
func manyVersions(tb testing.TB, models, versions int) *registry.Catalog {
	tb.Helper()
	c := registry.NewCatalog()
	at, seq := time.UnixMilli(1700000000000), uint64(0)
	apply := func(name string, p events.Payload) {
		seq++
		at = at.Add(time.Millisecond)
		subject, err := events.SubjectOf(p.EventType(), name)
		require.NoError(tb, err)
		require.NoError(tb, c.Apply(registry.Record{Sequence: seq, Time: at, Subject: subject, Event: events.New(name, "bench", fmt.Sprint(seq), at, p)}))
	}
	for m := range models {
		name := fmt.Sprintf("model-%03d", m)
		apply(name, &events.ModelChanged{Change: events.ChangeCreate, Actor: "bench"})
		for v := range versions {
			apply(name, &events.ModelRegistered{
				Version: v + 1, Source: fmt.Sprintf("s3://bucket/%d/%d", m, v), Unservable: "elsewhere", Artifacts: []events.Artifact{},
				Tags: []events.Pair{{Key: "team", Value: fmt.Sprint("team-", v%7)}},
			})
		}
	}
	return c
}

// BenchmarkSearchVersions finds a page among 20,000 versions of 100 models.
func BenchmarkSearchVersions(b *testing.B) {
	c := manyVersions(b, 100, 200)
	ten := integer(10)
	for _, text := range []string{"", "tags.team = 'team-3'", "name = 'model-042'"} {
		b.Run(text, func(b *testing.B) {
			f, err := search{Filter: text, MaxResults: &ten, OrderBy: []string{"creation_timestamp DESC"}}.read(filter.Versions, versionsPage, versionsPageMax)
			require.NoError(b, err)
			name, one := f.filter.Equal("name")
			b.ReportAllocs()
			for b.Loop() {
				found, next, err := find(b.Context(), f, versionItems(viewOf(c), name, one))
				require.NoError(b, err)
				require.Len(b, found, 10)
				require.NotEmpty(b, next)
			}
		})
	}
}

// BenchmarkSearchModels describes a page of models with 200 versions each.
func BenchmarkSearchModels(b *testing.B) {
	c := manyVersions(b, 100, 200)
	f, err := search{}.read(filter.Models, modelsPage, modelsPageMax)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		found, _, err := find(b.Context(), f, modelItems(viewOf(c)))
		require.NoError(b, err)
		for _, m := range found {
			require.Len(b, describeModel(c, m.Model).LatestVersions, 1)
		}
	}
}

// TestPagesAreTheSearchInParts turns pages so small that a search drops what can't be on them, and reads what one large page shows.
func TestPagesAreTheSearchInParts(t *testing.T) {
	t.Parallel()
	c := manyVersions(t, 30, 60)
	walk := func(size integer) (names []string) {
		s := search{Filter: "tags.team != 'team-3'", MaxResults: &size, OrderBy: []string{"version_number DESC"}}
		for {
			f, err := s.read(filter.Versions, versionsPage, versionsPageMax)
			require.NoError(t, err)
			found, next, err := find(t.Context(), f, versionItems(viewOf(c), "", false))
			require.NoError(t, err)
			require.LessOrEqual(t, len(found), int(size))
			for _, v := range found {
				names = append(names, fmt.Sprintf("%s/%d", v.ModelName, v.Version.Version))
			}
			if next == "" {
				return names
			}
			s.PageToken = next
		}
	}
	whole := walk(200_000)
	require.Equal(t, 30*(60-9), len(whole), "of sixty versions nine are of that team")
	require.Equal(t, []string{"model-000/59", "model-001/59"}, whole[:2], "by name where the order leaves it open")
	require.True(t, slices.Equal(whole, walk(40)))
}
