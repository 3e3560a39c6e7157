package calibrate

import "math"

const (
	newtonSteps = 100   // Newton from the origin takes fewer than 20 on anything seen
	newtonDone  = 1e-13 // the squared Newton decrement, per unit of weight, at which the fit is exact to rounding
	armijo      = 1e-4
)

// fitSigmoid returns the slope and intercept that Fit states. The log-odds are standardised first, which makes the two parameters
// nearly independent.
func fitSigmoid(s sample) (slope, intercept float64) {
	p := newPlatt(s)
	if p.scale == 0 { // one score for all rows: no slope can be told
		return 0, p.prior()
	}
	u, v := p.minimise()
	slope = u / p.scale
	intercept = v - float64(slope*p.centre)
	if !(slope > 0) || math.IsInf(slope, 0) || math.IsInf(intercept, 0) { // infinite: scores that differ by nothing
		return 0, p.prior()
	}
	return slope, intercept
}

// platt is the loss over z standardised, per unit of weight.
type platt struct {
	z, weight            []float64 // the weights add up to 1
	positive             []bool
	high, low            float64 // the targets of the two classes
	total                float64
	centre, scale        float64
	posWeight, negWeight float64
}

func newPlatt(s sample) *platt {
	p := &platt{
		z: make([]float64, 0, s.rows), weight: make([]float64, 0, s.rows), positive: make([]bool, 0, s.rows),
		high: (s.pos + 1) / (s.pos + 2), low: 1 / (s.neg + 2), total: s.pos + s.neg, posWeight: s.pos, negWeight: s.neg,
	}
	for i, score := range s.score {
		if w := s.at(i); w > 0 {
			p.z = append(p.z, logOdds(score))
			p.weight = append(p.weight, w/p.total)
			p.positive = append(p.positive, s.label[i] == 1)
		}
	}
	lowest, highest := p.z[0], p.z[0]
	for i, z := range p.z {
		p.centre += float64(p.weight[i] * z)
		lowest, highest = min(lowest, z), max(highest, z)
	}
	if lowest == highest {
		return p
	}
	for i, z := range p.z {
		d := z - p.centre
		p.scale += float64(p.weight[i] * float64(d*d))
	}
	p.scale = math.Sqrt(p.scale)
	for i := range p.z {
		p.z[i] = (p.z[i] - p.centre) / p.scale
	}
	return p
}

// prior is the intercept of the best constant: the log-odds of the mean target.
func (p *platt) prior() float64 {
	return logOdds(float64(p.posWeight/p.total*p.high) + float64(p.negWeight/p.total*p.low))
}

// minimise returns the slope u and intercept v over standardised z. The loss is convex, and strictly so since z has a spread.
func (p *platt) minimise() (u, v float64) {
	v = p.prior()
	loss := p.loss(u, v)
	for range newtonSteps {
		gu, gv, huu, huv, hvv := p.derivatives(u, v)
		det := float64(huu*hvv) - float64(huv*huv)
		if !(det > 0) {
			return u, v
		}
		du := -(float64(hvv*gu) - float64(huv*gv)) / det
		dv := -(float64(huu*gv) - float64(huv*gu)) / det
		decrement := -(float64(gu*du) + float64(gv*dv))
		if !(decrement > newtonDone) {
			return u + du, v + dv
		}
		step := 1.0
		for {
			next := p.loss(u+float64(step*du), v+float64(step*dv))
			if next <= loss-float64(armijo*step*decrement) {
				loss = next
				break
			}
			if step /= 2; step < 1e-10 {
				return u, v
			}
		}
		u += float64(step * du)
		v += float64(step * dv)
	}
	return u, v
}

func (p *platt) loss(u, v float64) float64 {
	sum := 0.0
	for i, z := range p.z {
		m := float64(u*z) + v
		sum += float64(p.weight[i] * (softplus(m) - float64(p.target(i)*m)))
	}
	return sum
}

// derivatives returns gradient and Hessian of loss.
func (p *platt) derivatives(u, v float64) (gu, gv, huu, huv, hvv float64) {
	for i, z := range p.z {
		q := logistic(float64(u*z) + v)
		g := float64(p.weight[i] * (q - p.target(i)))
		h := float64(p.weight[i] * float64(q*(1-q)))
		gu += float64(g * z)
		gv += g
		huu += float64(float64(h*z) * z)
		huv += float64(h * z)
		hvv += h
	}
	return gu, gv, huu, huv, hvv
}

func (p *platt) target(i int) float64 {
	if p.positive[i] {
		return p.high
	}
	return p.low
}
