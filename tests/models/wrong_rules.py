"""Rules told wrongly, one each, to show what the promises and the server notice."""

from dataclasses import replace

from tests.models.leases import ENDED, HELD, NOBODY, Rules, Session, State


class HandsOutWhatIsHeld(Rules):
    def offered(self, x: Session, w: int) -> bool:
        return super().offered(x, w) or (x.status == "claimed" and x.owner != w)


class HandsOutWhatWasJustNacked(Rules):
    def offered(self, x: Session, w: int) -> bool:
        return super().offered(x._replace(nacked_by=(False, False)), w)


class HandsOutWhatWasJustLost(Rules):
    def offered(self, x: Session, w: int) -> bool:
        return super().offered(x._replace(lost_lately=False), w)


class NeverHandsOutWhatWasLost(Rules):
    def offered(self, x: Session, w: int) -> bool:
        return super().offered(x, w) and x.lost_by == NOBODY


class CountsNoStoppedSlots(Rules):
    def room(self, state: State, w: int) -> int:
        stopped = sum(x.slot == w and x.status == "stopped" for x in state.sessions)
        return super().room(state, w) + stopped


class HasRoomForOneMore(Rules):
    def room(self, state: State, w: int) -> int:
        return super().room(state, w) + 1


class ClaimsUnderTheOldEpoch(Rules):
    def claimed(self, x: Session, w: int, *, confirmed: bool) -> Session:
        return super().claimed(x, w, confirmed=confirmed)._replace(epoch=x.epoch)


class ClaimsAndRemembersWhoLostIt(Rules):
    def claimed(self, x: Session, w: int, *, confirmed: bool) -> Session:
        claimed = super().claimed(x, w, confirmed=confirmed)
        return claimed._replace(lost_by=x.lost_by, lost_as=x.lost_as)


class TakesBackUnderTheOldEpoch(Rules):
    def taken_back(self, x: Session, w: int) -> Session:
        return super().taken_back(x, w)._replace(epoch=x.epoch)


class TakesBackWithoutASlot(Rules):
    def taken_back(self, x: Session, w: int) -> Session:
        return super().taken_back(x, w)._replace(slot=NOBODY)


class LetsAnybodyWriteToWhatWaits(Rules):
    def held(self, state: State, w: int, x: Session, named: bool) -> Session | None:
        if x.status == "pending" and x.lost_by != NOBODY:
            x = x._replace(lost_by=w)
        return super().held(state, w, x, named)


class LetsWhoKnowsTheEpochWrite(Rules):
    def held(self, state: State, w: int, x: Session, named: bool) -> Session | None:
        by_epoch = named and x.knows[w] == x.epoch and x.status in HELD
        return x if by_epoch else super().held(state, w, x, named)


class LooksAtNoEpoch(Rules):
    def held(self, state: State, w: int, x: Session, named: bool) -> Session | None:
        return super().held(state, w, x, named=False)


class LooksAtNoEpochWhileItWaits(Rules):
    def held(self, state: State, w: int, x: Session, named: bool) -> Session | None:
        return super().held(state, w, x, named=named and x.status != "pending")


class ReopensWhatEnded(Rules):
    def reported(self, x: Session, status: str) -> Session | None:
        if x.status == "completed" and status == "running":
            return x._replace(status="running", slot=x.owner)
        return super().reported(x, status)


class CompletesWithoutFreeing(Rules):
    def reported(self, x: Session, status: str) -> Session | None:
        after = super().reported(x, status)
        return after and after._replace(slot=x.slot)


class TakesStoppedAfterAStopForARepeat(Rules):
    def reported(self, x: Session, status: str) -> Session | None:
        return x if x.status == status else super().reported(x, status)


class EndsWhatACallKept(Rules):
    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        silent = tuple(x._replace(heard=False) for x in state.sessions)
        return super().ends(state._replace(sessions=silent), w)


class EndsWhatAHeartbeatCovered(Rules):
    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        workers = tuple(y._replace(covered=False, beaten=False) for y in state.workers)
        return super().ends(state._replace(workers=workers), w)


class EndsNothingWhileTheWorkerLives(Rules):
    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        quiet, many = super().ends(state, w)
        return quiet, 0 if state.workers[w].beaten else many


class CountsOnlyTheLastHeartbeat(Rules):
    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        workers = tuple(y._replace(before=0) for y in state.workers)
        return super().ends(state._replace(workers=workers), w)


class EndsNothing(Rules):
    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        return [], 0


class LosesWithoutFreeing(Rules):
    def lost(self, x: Session) -> Session:
        return super().lost(x)._replace(slot=x.slot)


class LosesWithoutCounting(Rules):
    def lost(self, x: Session) -> Session:
        return super().lost(x._replace(attempts=x.attempts - 1))


class AllowsOneAttemptMore(Rules):
    def lost(self, x: Session) -> Session:
        more = Rules(replace(self.scope, attempts=self.scope.attempts + 1))
        return more.lost(x)


class ForgetsWhoLostIt(Rules):
    def lost(self, x: Session) -> Session:
        return self.unlost(super().lost(x))


class CountsANackAsAnAttempt(Rules):
    def nacked(self, x: Session, w: int) -> Session:
        return super().nacked(x, w)._replace(attempts=x.attempts + 1)


class ForgetsWhoNacked(Rules):
    def nacked(self, x: Session, w: int) -> Session:
        return super().nacked(x, w)._replace(nacked_by=x.nacked_by)


class NacksForEver(Rules):
    def nacked(self, x: Session, w: int) -> Session:
        return super().nacked(x, w)._replace(waits=False)


class NacksIntoNowhere(Rules):
    def nacked(self, x: Session, w: int) -> Session:
        return super().nacked(x, w)._replace(status="nacked")


class TransfersWithoutTheSlot(Rules):
    def transferred(self, x: Session, new: int) -> Session:
        return super().transferred(x, new)._replace(slot=x.slot)


class TransfersUnderANewEpoch(Rules):
    def transferred(self, x: Session, new: int) -> Session:
        return super().transferred(x, new)._replace(epoch=x.epoch + 1)


class LeavesAndKeeps(Rules):
    def left(self, x: Session, w: int) -> Session:
        return x


class LeavesAndKeepsWhatItLost(Rules):
    def left(self, x: Session, w: int) -> Session:
        return x if x.lost_by == w else super().left(x, w)


class LeavesForEver(Rules):
    def given_back(self, x: Session) -> Session:
        return super().given_back(x)._replace(waits=x.waits or x.status == "running")


class FreesNoStoppedSlot(Rules):
    def freed(self, x: Session) -> bool:
        return False


class OffersAgainWhatIsConfirmed(Rules):
    def offered_again(self, x: Session, w: int) -> bool:
        confirmed = (x.slot, x.status, x.confirmed) == (w, "claimed", True)
        return confirmed or super().offered_again(x, w)


class OffersAgainAfterOneShortHeartbeat(Rules):
    def offered_again(self, x: Session, w: int) -> bool:
        return super().offered_again(x._replace(missed=min(2, 2 * x.missed)), w)


class OffersAgainAtOnce(Rules):
    def offered_again(self, x: Session, w: int) -> bool:
        return super().offered_again(x._replace(offer_old=True), w)


class NeverOffersAgain(Rules):
    def offered_again(self, x: Session, w: int) -> bool:
        return False


class ForgetsTheStatusItWasLostIn(Rules):
    def taken_back(self, x: Session, w: int) -> Session:
        lost_as = x.lost_as if x.lost_as in ENDED else "claimed"
        return super().taken_back(x._replace(lost_as=lost_as), w)


BREAK_A_PROMISE = (
    HandsOutWhatIsHeld, HandsOutWhatWasJustNacked, HandsOutWhatWasJustLost, CountsNoStoppedSlots,
    HasRoomForOneMore, ClaimsUnderTheOldEpoch, ClaimsAndRemembersWhoLostIt,
    TakesBackUnderTheOldEpoch, TakesBackWithoutASlot, LetsAnybodyWriteToWhatWaits,
    LetsWhoKnowsTheEpochWrite, LooksAtNoEpoch, LooksAtNoEpochWhileItWaits, ReopensWhatEnded,
    CompletesWithoutFreeing, TakesStoppedAfterAStopForARepeat, EndsWhatACallKept,
    EndsWhatAHeartbeatCovered, EndsNothing, LosesWithoutFreeing, LosesWithoutCounting,
    AllowsOneAttemptMore, ForgetsWhoLostIt, CountsANackAsAnAttempt, ForgetsWhoNacked, NacksForEver,
    NacksIntoNowhere, TransfersWithoutTheSlot, LeavesAndKeeps, LeavesAndKeepsWhatItLost,
    FreesNoStoppedSlot, OffersAgainWhatIsConfirmed, OffersAgainAfterOneShortHeartbeat,
    OffersAgainAtOnce, NeverHandsOutWhatWasLost,
)  # fmt: skip
"""What some promise notices by itself."""

DIFFER_FROM_THE_SERVER = (
    EndsNothingWhileTheWorkerLives, CountsOnlyTheLastHeartbeat, TransfersUnderANewEpoch,
    LeavesForEver, NeverOffersAgain, ForgetsTheStatusItWasLostIn,
)  # fmt: skip
"""What keeps every promise and is still not what was decided: the walk beside the server tells."""
