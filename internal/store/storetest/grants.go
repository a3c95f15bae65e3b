package storetest

import (
	"testing"

	"gatehouse"
)

func codes(t *testing.T, open Open) {
	t.Run("a code is redeemed once and its replay ends everything", func(t *testing.T) {
		s := setUp(t, open)
		g := s.redeemed("openid")
		if s.tokenEnded(g) {
			t.Fatal("the token ended before the replay")
		}
		is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
		is(t, gatehouse.RedeemReplayed)(s.RedeemCode(t.Context(), tenant, s.redemption(g)))
		if row := s.row(g.ID); row.EndReason != gatehouse.EndedByCodeReplay || !s.tokenEnded(g) {
			t.Fatalf("after the replay: %+v", row)
		}
		is(t, gatehouse.RotateEnded)(s.rotate(g, 2))
		s.told(g, gatehouse.EventCodeReplayed, 1)
		s.told(g, gatehouse.EventGrantEnded, 1)
	})
}
