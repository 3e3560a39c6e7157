package events_test

import (
	"fmt"
	"reflect"
	"time"
)

// spot is a place in a payload that a test can set.
type spot struct {
	path string
	typ  reflect.Type
	set  func(reflect.Value)
}

// spots returns every field, slice, element, map and map value of what p points to, in a fixed order.
func spots(p any) []spot {
	v := reflect.ValueOf(p).Elem()
	return spotsIn(v.Type().Name(), v)
}

func spotsIn(path string, v reflect.Value) []spot {
	t := v.Type()
	own := spot{path, t, func(to reflect.Value) { v.Set(to.Convert(t)) }}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return []spot{own}
	case t.Kind() == reflect.Struct:
		var all []spot
		for i := range t.NumField() {
			all = append(all, spotsIn(path+"."+t.Field(i).Name, v.Field(i))...)
		}
		return all
	case t.Kind() == reflect.Pointer:
		return append([]spot{own}, spotsIn(path, v.Elem())...)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		all := []spot{own}
		for i := range v.Len() {
			all = append(all, spotsIn(fmt.Sprintf("%s[%d]", path, i), v.Index(i))...)
		}
		return all
	case t.Kind() == reflect.Map:
		all := []spot{own}
		for _, k := range v.MapKeys() { // samples have one key
			all = append(all, spot{fmt.Sprintf("%s[%v]", path, k), t.Elem(), func(to reflect.Value) { v.SetMapIndex(k, to.Convert(t.Elem())) }})
		}
		return all
	}
	return []spot{own}
}
